// The cells of the two pictures in the Why tab. One button lies over each picture; data-rows and data-columns say where its
// cells begin, in pixels of the picture, as the map is painted. What is pointed at, or reached by the arrow keys, is framed and
// read out, and becomes the button's data-row and data-column, which a click or Enter sends.
() => {
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  const cellsOf = (event) => event.target.closest?.("button.rc-why-cells");
  const numbers = (words) => words.split(",").map(Number);
  let last = null; // the side, row and column that were chosen last

  const move = (cells, row, column) => {
    const [rows, columns] = [numbers(cells.dataset.rows), numbers(cells.dataset.columns)];
    row = Math.max(0, Math.min(row, rows.length - 2));
    column = Math.max(0, Math.min(column, columns.length - 2));
    Object.assign(cells.dataset, { row, column });
    const share = (edges, at) => `${(100 * edges[at]) / edges.at(-1)}%`;
    const extent = (edges, at) => `${(100 * (edges[at + 1] - edges[at])) / edges.at(-1)}%`;
    const cursor = cells.parentElement.querySelector(".rc-why-cursor");
    Object.assign(cursor.style, {
      display: "block", left: share(columns, column), top: share(rows, row),
      width: extent(columns, column), height: extent(rows, row),
    });
    const value = numbers(cells.dataset.values)[row * (columns.length - 1) + column];
    const size = Math.abs(value);
    const signed = `${value < 0 ? "\u2212" : "+"}${size >= 1e-4 || size === 0 ? size : size.toExponential(1)}`;
    const place = `row ${row + 1}, column ${column + 1}`;
    cells.closest("#why-pair").querySelector(".rc-why-at").textContent = `${cells.dataset.name}, ${place}: ${signed}`;
  };

  const point = (cells, event) => {
    const box = cells.getBoundingClientRect();
    const under = (edges, share) => edges.findLastIndex((edge) => edge <= share * edges.at(-1));
    const row = under(numbers(cells.dataset.rows), (event.clientY - box.top) / box.height);
    move(cells, row, under(numbers(cells.dataset.columns), (event.clientX - box.left) / box.width));
  };

  const leave = (cells) => {
    const [cursor, at] = [cells.parentElement?.querySelector(".rc-why-cursor"), document.querySelector("#why-pair .rc-why-at")];
    if (cursor) cursor.style.display = "none"; // it may be gone: what is left was replaced
    if (at) at.textContent = "";
  };

  document.addEventListener("pointermove", (event) => cellsOf(event) && point(cellsOf(event), event));
  document.addEventListener("pointerout", (event) => cellsOf(event) && leave(cellsOf(event)));
  document.addEventListener("focusout", (event) => cellsOf(event) && leave(cellsOf(event)));
  document.addEventListener("focusin", (event) => {
    const cells = cellsOf(event);
    if (cells?.matches(":focus-visible")) move(cells, Number(cells.dataset.row), Number(cells.dataset.column));
  });
  // Before the button's own listener: Enter clicks too, but points nowhere.
  document.addEventListener("click", (event) => {
    const cells = cellsOf(event);
    if (!cells) return;
    if (event.detail > 0) point(cells, event);
    last = { ...cells.dataset };
  }, true);
  document.addEventListener("keydown", (event) => {
    const cells = cellsOf(event);
    if (!cells || !step[event.key]) return;
    event.preventDefault();
    const [down, right] = step[event.key];
    move(cells, Number(cells.dataset.row) + down, Number(cells.dataset.column) + right);
  }, true);
  // What was clicked has been replaced: a keyboard goes on from its successor, and who chose far below sees what came of it.
  document.addEventListener("rc-why-shown", ({ detail }) => {
    const piece = document.getElementById(detail);
    const top = document.getElementById("why-scores");
    if (detail === "why-row" && top.getBoundingClientRect().top < 0) top.scrollIntoView();
    if (document.activeElement !== document.body) return; // the person went elsewhere meanwhile
    const button = detail === "why-pair" ? last && `button.rc-why-cells[data-side="${last.side}"]` : "[aria-pressed=true]";
    const next = button && piece.querySelector(button);
    if (!next) return;
    if (detail === "why-pair") Object.assign(next.dataset, { row: last.row, column: last.column });
    next.focus({ preventScroll: true });
  });
}

// Keys for the whole page. Within [data-grid] the arrows go from button to button as they lie on the screen; a key that stands
// in data-key of something visible ("k", "ArrowRight", "Escape") clicks it, unless a person is typing.
() => {
  const typing = (target) => target.closest?.("input, textarea, select, [contenteditable=true]");
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  const middle = (element) => {
    const box = element.getBoundingClientRect();
    return [box.left + box.width / 2, box.top + box.height / 2];
  };

  const next = (grid, from, [right, down]) => {
    const [x, y] = middle(from);
    let best = null;
    for (const one of grid.querySelectorAll("button[data-cell]")) {
      const [left, top] = middle(one);
      const along = (left - x) * right + (top - y) * down;
      const aside = Math.abs((left - x) * down) + Math.abs((top - y) * right);
      if (along > 4 && (!best || along + 3 * aside < best.far)) best = { one, far: along + 3 * aside };
    }
    return best?.one;
  };

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    const grid = event.target.closest?.("[data-grid]");
    if (grid && step[event.key] && event.target.matches("button[data-cell]")) {
      event.preventDefault();
      next(grid, event.target, step[event.key])?.focus();
      return;
    }
    const named = [...document.querySelectorAll("[data-key]")].find(
      (one) => one.dataset.key === event.key && one.offsetParent !== null && !one.disabled,
    );
    if (!named) return;
    event.preventDefault();
    named.click();
  });
}

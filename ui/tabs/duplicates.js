// The review of duplicates: the photo that the first is compared with is chosen (buttons with data-compare), and while the
// button with data-swap or the key S is held, it lies over the first. The server has no part in either.
() => {
  const shown = (selector) => [...document.querySelectorAll(selector)].find((one) => one.offsetParent !== null);

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button[data-compare]");
    if (!button) return;
    const group = button.closest(".rc-dup");
    const pane = group.querySelector("[data-pane=other]");
    const frame = pane.querySelector(".rc-frame");
    const picture = frame.querySelector("img");
    frame.style.backgroundImage = `url(${button.dataset.compare}/thumbnail)`;
    picture.src = button.dataset.compare;
    const item = button.closest("li");
    pane.querySelector("figcaption b").textContent = item.querySelector(".rc-relation").textContent;
    pane.querySelectorAll(".rc-facts, .rc-acts").forEach((one) => one.remove());
    pane.append(item.querySelector("template").content.cloneNode(true));
    picture.alt = pane.querySelector("dd").textContent;
    for (const one of group.querySelectorAll("[data-compare]")) one.setAttribute("aria-pressed", one === button);
  });

  const swap = (isOn) => {
    const button = shown("[data-swap]");
    const over = shown(".rc-dup")?.querySelector(".rc-over");
    if (!button || !over) return;
    if (isOn) over.src = over.closest(".rc-dup").querySelector("[data-pane=other] img").src;
    over.hidden = !isOn;
    button.setAttribute("aria-pressed", isOn);
  };

  const isSwap = (event) =>
    (event.key === "s" && !event.target.closest?.("input, textarea, select, [contenteditable=true]")) ||
    (event.key === " " && event.target.closest?.("[data-swap]"));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !isSwap(event)) return;
    if (event.key === " ") event.preventDefault();
    swap(true);
  });
  document.addEventListener("keyup", (event) => isSwap(event) && swap(false));
  document.addEventListener("pointerdown", (event) => event.target.closest?.("[data-swap]") && swap(true));
  for (const end of ["pointerup", "pointercancel", "blur"]) addEventListener(end, () => swap(false));
}

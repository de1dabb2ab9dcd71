// A click (or Enter, it is a button) on a neighbour asks the server to look at that photo.
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-photo]");
  if (!button) return;
  trigger("choose", { photo: Number(button.dataset.photo) });
  document.getElementById("query")?.scrollIntoView({ block: "nearest" });
});

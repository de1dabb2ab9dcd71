// For every gr.HTML with buttons: a click (or Enter, they are buttons) on one with data-event sends that event to the
// server, with the button's other data-* as its values. EVENTS are the names that the server listens to.
element.addEventListener("click", (click) => {
  const button = click.target.closest("button[data-event]");
  if (!button || !EVENTS.includes(button.dataset.event)) return;
  const { event, ...values } = button.dataset;
  trigger(event, values);
});

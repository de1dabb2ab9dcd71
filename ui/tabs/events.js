// For every gr.HTML with buttons and sliders: a click (or Enter, they are buttons) on a button with data-event, and a change of
// an input with data-event, sends that event to the server, with its other data-* and its value. EVENTS are those listened to.
const send = (from, more) => {
  const { event, ...values } = from.dataset;
  if (EVENTS.includes(event)) trigger(event, { ...values, ...more });
};
element.addEventListener("click", (click) => {
  const button = click.target.closest("button[data-event]");
  if (button) send(button, {});
});
element.addEventListener("change", (change) => {
  if (change.target.matches("input[data-event]")) send(change.target, { value: change.target.value });
});

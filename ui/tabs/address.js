// The address bar follows the view, and the view follows the address: links, bookmarks, back and forward. What is new comes into sight.
let shown = location.search;
let visiting = false;

const visit = () => {
  shown = location.search;
  visiting = true;
  trigger("visit", { address: shown });
};

const changed = (before, after) => (name) => new URLSearchParams(before).get(name) !== new URLSearchParams(after).get(name);

const bring = (id, always) => {
  const element = document.getElementById(id);
  if (element && (always || element.getBoundingClientRect().top < 0)) element.scrollIntoView({ block: "start" });
};

// On a phone the picture and the head of its answer fit below the tabs, but not below the page's name as well.
const phone = matchMedia("(max-width: 640px)");

// A search by keyboard goes on from its first photo: the button that was pressed is gone.
const keepFocus = () => {
  if (document.activeElement === document.body)
    document.querySelector("#neighbours .rc-photo")?.focus({ preventScroll: true });
};

watch("value", () => {
  const address = element.querySelector("[data-address]")?.dataset.address ?? "";
  // What an address meant, in the words of the page, is no new step.
  const same = visiting || address === shown;
  const other = changed(shown, address);
  visiting = false;
  shown = address;
  history[same ? "replaceState" : "pushState"](history.state, "", address || location.pathname);
  if (!same && other("photo")) setTimeout(keepFocus, 300);
  if (["photo", "upload"].some(other)) bring("tabs", !same && phone.matches && address);
  else if (other("tab")) bring("tabs");
  else if (other("from")) bring("neighbours");
});

addEventListener("popstate", visit);
// What is sent before the page's own load event (page.py tells of it) may be lost.
const first = () => {
  visit();
  setTimeout(() => visiting && visit(), 5000);
};
if (location.search) {
  if (document.documentElement.classList.contains("rc-loaded")) first();
  else addEventListener("rc-loaded", first, { once: true });
}

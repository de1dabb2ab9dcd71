// The address bar follows the view, and the view follows the address: links, bookmarks, back and forward.
let shown = location.search;
let visiting = false;

const visit = () => {
  shown = location.search;
  visiting = true;
  trigger("visit", { address: shown });
};

watch("value", () => {
  const address = element.querySelector("[data-address]")?.dataset.address ?? "";
  // What an address meant, in the words of the page, is no new step; neither is the tab alone.
  const same = visiting || address === shown;
  visiting = false;
  shown = address;
  history[same ? "replaceState" : "pushState"](history.state, "", address || location.pathname);
});

addEventListener("popstate", visit);
if (location.search) visit();

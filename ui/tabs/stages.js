// What the browser does after an answer: a clicked channel comes into view, which on a narrow screen is far from its tile; a file
// that was made is saved; another picture is asked for where the tab is open. No comment after the function: it is called.
(what) => {
  const part = (name) => document.querySelector(`#stage-${name}`);
  if (what === "show") part("channel")?.scrollIntoView({ block: "nearest" });
  if (what === "save") part("file")?.click();
  if (what === "again" && part("overview")?.offsetParent) part("again")?.click();
}

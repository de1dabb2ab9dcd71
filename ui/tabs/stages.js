// A clicked channel comes into view: on a narrow screen it is shown far from the tile.
() => document.querySelector("#stage-channel")?.scrollIntoView({ block: "nearest" })

// Gradio's picture field takes a pasted picture only through its clipboard button; people press Ctrl+V.
() => {
  const field = () => document.querySelector("#query input[type=file]");

  document.addEventListener("paste", async (event) => {
    const picture = [...(event.clipboardData?.files ?? [])].find((file) => file.type.startsWith("image/"));
    if (!picture) return;
    event.preventDefault();
    // After its clipboard button was used the field has no file input until it is put back to uploading.
    if (!field()) document.querySelector('#query button[aria-label="Upload file"]')?.click();
    for (let frame = 0; !field() && frame < 30; frame++) await new Promise(requestAnimationFrame);
    if (!field()) return;
    const transfer = new DataTransfer();
    transfer.items.add(picture);
    field().files = transfer.files;
    field().dispatchEvent(new Event("change", { bubbles: true }));
  });
}

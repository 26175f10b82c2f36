// A box to drop, pick or paste a picture. Files too large for the connection to the kernel are made smaller first.
const MOST = 6_000_000; // bytes sent as they are
const SIDE = 1024; // pixels of the shorter side of what is sent instead of a larger file

async function smaller(file) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, SIDE / Math.min(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
  return blob.arrayBuffer();
}

export default {
  render({ model, el }) {
    el.classList.add("maaf");
    const box = document.createElement("div");
    box.className = "maaf-drop";
    const button = document.createElement("button");
    button.textContent = "your own picture\u2026";
    const input = document.createElement("input");
    input.type = "file";
    input.hidden = true;
    input.setAttribute("aria-label", "picture file");
    const hint = document.createElement("span");
    hint.textContent = "or drop one here, or paste it";
    box.tabIndex = -1;
    box.append(button, input, hint);
    el.append(box);
    const take = async (file) => {
      if (!file) return;
      try {
        const data = file.size <= MOST ? await file.arrayBuffer() : await smaller(file);
        model.send({ act: "picture", name: file.name || "pasted picture" }, undefined, [data]);
      } catch {
        model.send({ act: "refused", name: file.name, size: file.size });
      }
    };
    button.addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      take(input.files[0]);
      input.value = "";
    });
    box.addEventListener("dragover", (event) => {
      event.preventDefault();
      event.stopPropagation();
      box.classList.add("over");
    });
    box.addEventListener("dragleave", () => box.classList.remove("over"));
    box.addEventListener("drop", (event) => {
      event.preventDefault();
      event.stopPropagation();
      box.classList.remove("over");
      take(event.dataTransfer.files[0]);
    });
    box.addEventListener("paste", (event) => take(event.clipboardData.files[0]));
  },
};

"use strict";
const table = JSON.parse(document.getElementById("table").textContent);
const choices = [...document.querySelectorAll("select[data-row]")];
const count = document.getElementById("count");

function corrections() {
  return choices.filter((choice) => choice.value !== table.rows[choice.dataset.row][1]);
}

function quoted(text) {
  return `"${text.replaceAll('"', '""')}"`;
}

function correctedTable() {
  const rows = table.rows.map((row) => [...row]);
  for (const choice of corrections()) {
    rows[choice.dataset.row][1] = choice.value;
  }
  return [table.columns, ...rows].map((row) => row.map(quoted).join(",") + "\n").join("");
}

function showCount() {
  const number = corrections().length;
  count.textContent = number === 1 ? "1 track corrected" : `${number} tracks corrected`;
}

function take(choice, genre) {
  choice.value = genre;
  showCount();
}

for (const choice of choices) {
  choice.addEventListener("change", showCount);
}
for (const button of document.querySelectorAll("button[data-genre]")) {
  const choice = document.getElementById(button.dataset.choice);
  button.addEventListener("click", () => take(choice, button.dataset.genre));
}
document.getElementById("save").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([correctedTable()], { type: "text/csv" }));
  link.download = "corrected.csv";
  link.click();
  URL.revokeObjectURL(link.href);
});
showCount();

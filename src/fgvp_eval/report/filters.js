"use strict";
// Filters of the gallery of misses. Without them the page shows every card.
(() => {
  const form = document.getElementById("filters");
  if (form) {
    const cards = [...document.querySelectorAll(".card")].map((element) => ({
      element,
      text: plain(element.querySelector(".text").textContent),
      outcomes: [...element.querySelectorAll(".outcome")],
      choices: [...element.querySelectorAll(".choice")].map((choice) => ({
        choice,
        rows: JSON.parse(choice.dataset.rows),
      })),
    }));
    const count = document.getElementById("count");
    const nothing = document.getElementById("nothing");

    const apply = () => {
      const wanted = Object.fromEntries(new FormData(form));
      const words = plain(wanted.words).split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const card of cards) {
        const data = card.element.dataset;
        const fits =
          words.every((word) => card.text.includes(word)) &&
          same(wanted.split, data.split) &&
          same(wanted.candidates, data.candidates) &&
          same(wanted.object, data.object) &&
          // Only misses that were drawn for a row count as the row's: other cards of a row are
          // here because of other rows, and are no fair sample.
          card.outcomes.some(
            ({ dataset }) =>
              dataset.cause && same(wanted.row, dataset.row) && same(wanted.cause, dataset.cause)
          );
        card.element.hidden = !fits;
        shown += fits;
        for (const outcome of card.outcomes) {
          outcome.classList.toggle("aside", !same(wanted.row, outcome.dataset.row));
        }
        pointAt(card, wanted.row);
      }
      count.textContent = `shown ${shown} of ${cards.length}`;
      nothing.hidden = shown > 0;
    };

    // A row's own choice stands out on the picture while the row is chosen or pointed at.
    const pointAt = (card, row) => {
      for (const { choice, rows } of card.choices) {
        choice.classList.toggle("aside", Boolean(row) && !rows.includes(row));
      }
    };
    for (const card of cards) {
      for (const outcome of card.outcomes) {
        outcome.addEventListener("mouseenter", () => pointAt(card, outcome.dataset.row));
        outcome.addEventListener("mouseleave", () => pointAt(card, form.elements.row?.value));
      }
    }

    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(apply));
    form.hidden = false;
    apply();
  }

  // Paper shows what is folded.
  let unfolded = [];
  addEventListener("beforeprint", () => {
    unfolded = [...document.querySelectorAll("details:not([open])")];
    for (const details of unfolded) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of unfolded) details.open = false;
  });

  function plain(text) {
    return (text || "").normalize("NFKC").toLowerCase();
  }
  function same(wanted, value) {
    return !wanted || wanted === value;
  }
})();

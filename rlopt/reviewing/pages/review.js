// Keys, and the live check of a wording. Every action is a plain form: without this file the pages still work.
"use strict";

const csrf = document.body.dataset.csrf;
const cards = [...document.querySelectorAll(".card")];

const current = () => cards.find((card) => card.contains(document.activeElement)) || cards[0];

function move(step) {
  const held = cards.find((card) => card.contains(document.activeElement));
  const place = held ? cards.indexOf(held) + step : 0;
  const next = cards[Math.min(Math.max(place, 0), cards.length - 1)];
  if (next) {
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  }
}

function press(key) {
  if (key === "j") return move(1);
  if (key === "k") return move(-1);
  const inCard = current() && current().querySelector(`[data-key="${key}"]`);
  const target = inCard || document.querySelector(`main > form [data-key="${key}"]`);
  if (!target) return undefined;
  if (target.tagName === "SUMMARY") {
    const details = target.parentElement;
    details.open = true;
    const field = details.querySelector("textarea, select");
    field.focus();
    if (field.tagName === "TEXTAREA") field.setSelectionRange(field.value.length, field.value.length);
  } else if (target.tagName === "INPUT") target.focus();
  else target.click();
  return true;
}

document.addEventListener("keydown", (event) => {
  const typing = ["INPUT", "TEXTAREA", "SELECT"].includes(event.target.tagName) && event.target.type !== "checkbox" && event.target.type !== "radio";
  if (event.key === "Escape" && event.target !== document.body) {
    const card = current();
    event.target.blur();
    if (card) card.focus();
  } else if (typing && event.target.tagName === "TEXTAREA" && event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.target.form.requestSubmit();
  } else if (!typing && !event.ctrlKey && !event.metaKey && !event.altKey && !event.repeat && /^[jkaersu/]$/.test(event.key)) {
    if (document.querySelector(".card, main > form [data-key]")) {
      event.preventDefault();
      press(event.key);
    }
  }
});

// Asks what the run says of a wording, a third of a second after the last key; an answer that comes late is dropped.
for (const area of document.querySelectorAll(".edit-form textarea")) {
  const live = area.form.querySelector(".live");
  let timer = 0;
  let asked = 0;
  const check = async () => {
    const mine = ++asked;
    const body = new URLSearchParams({ proposal: area.form.elements.proposal.value, title: area.value });
    const answer = await fetch("/check", { method: "POST", body, headers: { "X-CSRF-Token": csrf } });
    if (mine !== asked || !answer.ok) return;
    const found = await answer.json();
    live.textContent = found.told.join("\n");
    live.classList.toggle("broken", found.broken.length > 0);
  };
  area.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(check, 300);
  });
  area.addEventListener("focus", check, { once: true });
}

// A form that was sent is not sent again by a second click.
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "1";
  });
}
window.addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sent;
});

if (cards.length && document.querySelector(".filters")) cards[0].focus({ preventScroll: true });

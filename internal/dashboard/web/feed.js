// @ts-check
// The list of messages: oldest first, the newest at the bottom in view unless the reader has scrolled away.

import { button, make, place, textOf } from './dom.js';

/** @typedef {import('./sno.js').Message} Message */

export const MAX_SHOWN = 1000;
const PAGE = 50;
const MAX_TEXT = 4000; // characters shown of one message's data
const NEAR_BOTTOM = 48; // px

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3, hour12: false });

/** @param {string} text */
function clipped(text) {
  if (text.length <= MAX_TEXT) return text;
  return `${text.slice(0, MAX_TEXT)}… (${text.length.toLocaleString()} characters)`;
}

/** @param {Message} message */
function whereIs(message) {
  if (!message.position) return 'ephemeral';
  return `${message.position.epoch}:${message.position.offset}`;
}

/** @param {Message} message */
function row(message) {
  const item = make('li', 'message');
  const time = make('time', '', clock.format(message.time));
  time.setAttribute('datetime', new Date(message.time).toISOString());
  time.title = new Date(message.time).toLocaleString();
  const facts = make('p', 'facts');
  facts.append(time);
  if (message.event) facts.append(make('span', 'event', message.event));
  if (message.client) facts.append(make('span', 'client', message.client));
  const detail = make('p', 'detail');
  const position = make('span', 'position', whereIs(message));
  position.title = 'position: epoch:offset';
  detail.append(position);
  if (message.prev !== undefined) detail.append(make('span', 'prev', `prev ${message.prev}`));
  detail.append(make('span', 'id', `id ${message.id}`));
  item.append(facts, make('pre', message.binary ? 'data binary' : 'data', clipped(message.text)), detail);
  mark(item, message);
  return item;
}

/** What tests and scripts read. @param {HTMLElement} item @param {Message} message */
function mark(item, message) {
  item.dataset.kind = 'message';
  item.dataset.id = message.id;
  if (!message.position) return;
  item.dataset.epoch = message.position.epoch;
  item.dataset.offset = String(message.position.offset);
  item.dataset.prev = String(message.prev);
}

export class Feed {
  #list = place('messages');
  #scroll = place('scroll');
  #older = button('older');
  #latest = button('latest');
  #empty = place('empty');
  #generation = 0;
  #following = true; // the reader is at the newest message and wants to stay there

  /** @param {(before: number, limit: number) => Promise<{messages: Message[], more: boolean}>} history */
  constructor(history) {
    this.history = history;
    this.#older.addEventListener('click', () => this.#loadOlder());
    this.#latest.addEventListener('click', () => this.#toBottom());
    this.#scroll.addEventListener('scroll', () => {
      this.#following = this.#atBottom();
      if (this.#following) this.#latest.hidden = true;
    });
    new ResizeObserver(() => { if (this.#following) this.#toBottom(); }).observe(this.#scroll);
  }

  clear() {
    this.#generation++;
    this.#list.replaceChildren();
    this.#older.hidden = true;
    this.#older.disabled = false;
    this.#latest.hidden = true;
    this.#empty.hidden = false;
    this.#following = true;
  }

  /** @param {Message[]} messages */
  append(messages) {
    if (messages.length > 0) this.#add(messages.slice(-MAX_SHOWN).map(row));
  }

  /** A line between messages: a reset, a resume. @param {string} text @param {string} kind */
  note(text, kind) {
    const item = make('li', 'note', text);
    item.dataset.kind = kind;
    this.#add([item]);
  }

  /** @param {HTMLElement[]} items */
  #add(items) {
    this.#list.append(...items);
    while (this.#list.childElementCount > MAX_SHOWN) this.#list.firstElementChild?.remove();
    this.#empty.hidden = true;
    this.#offerOlder();
    if (this.#following) this.#toBottom();
    else this.#latest.hidden = false;
  }

  #atBottom() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroll;
    return scrollHeight - scrollTop - clientHeight < NEAR_BOTTOM;
  }

  #toBottom() {
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
    this.#latest.hidden = true;
  }

  /** @returns {HTMLElement|null} */
  #oldest() {
    return this.#list.querySelector('[data-offset]');
  }

  #offerOlder() {
    const oldest = this.#oldest();
    const full = this.#list.childElementCount >= MAX_SHOWN;
    this.#older.hidden = !oldest || oldest.dataset.prev === '0';
    this.#older.disabled = full;
    this.#older.textContent = full ? `The ${MAX_SHOWN.toLocaleString()} newest are shown` : 'Load older';
  }

  async #loadOlder() {
    const before = Number(this.#oldest()?.dataset.offset);
    const room = MAX_SHOWN - this.#list.childElementCount;
    const generation = this.#generation;
    this.#older.disabled = true;
    try {
      const page = await this.history(before, Math.min(PAGE, room));
      if (generation === this.#generation) this.#prepend(page.messages, page.more);
    } catch (error) {
      this.#older.disabled = false;
      this.#older.textContent = `${textOf(error)} – try again`;
    }
  }

  /** @param {Message[]} messages @param {boolean} more */
  #prepend(messages, more) {
    const fromBottom = this.#scroll.scrollHeight - this.#scroll.scrollTop;
    this.#list.prepend(...messages.map(row));
    this.#offerOlder();
    if (!more) this.#older.hidden = true;
    this.#scroll.scrollTop = this.#scroll.scrollHeight - fromBottom; // what is being read stays where it is
  }
}

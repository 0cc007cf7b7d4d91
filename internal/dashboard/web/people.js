// @ts-check
// Who is in the channel, and entering it oneself.

import { button, form, input, make, place, say, textOf } from './dom.js';

/** @typedef {import('./subscription.js').Member} Member */

export class People {
  /** The name this tab has entered with; empty: it has not. */
  name = '';

  /** @param {{enter: (name: string) => Promise<void>, leave: () => Promise<void>}} actions */
  constructor(actions) {
    this.actions = actions;
    form('enter-form').addEventListener('submit', (event) => {
      event.preventDefault();
      const name = input('name').value.trim();
      if (name) this.#attempt(() => actions.enter(name), name);
    });
    button('leave').addEventListener('click', () => this.#attempt(() => actions.leave(), ''));
  }

  /** @param {() => Promise<void>} action @param {string} name the name after it */
  async #attempt(action, name) {
    try {
      await action();
      this.#entered(name);
      say(place('people-error'), '');
    } catch (error) {
      say(place('people-error'), textOf(error));
    }
  }

  /** @param {string} name */
  #entered(name) {
    this.name = name;
    input('name').disabled = name !== '';
    button('enter').hidden = name !== '';
    button('leave').hidden = name === '';
  }

  /** Another channel: nobody is known, and this tab has not entered. */
  clear() {
    this.#entered('');
    this.show(new Map());
    say(place('people-error'), '');
  }

  /** @param {Map<string, Member>} members */
  show(members) {
    const sorted = [...members.values()].sort((a, b) => a.id.localeCompare(b.id));
    place('members').replaceChildren(...sorted.map(memberRow));
    place('member-count').textContent = String(sorted.length);
    place('nobody').hidden = sorted.length > 0;
  }
}

/** @param {Member} member */
function memberRow(member) {
  const item = make('li', '');
  item.dataset.member = member.id;
  const initial = make('span', 'avatar', [...label(member)][0]?.toUpperCase() ?? '?');
  initial.setAttribute('aria-hidden', 'true');
  initial.dataset.hue = String([...member.id].reduce((sum, c) => (sum * 31 + (c.codePointAt(0) ?? 0)) % 6, 0));
  item.append(initial, make('span', 'name', label(member)));
  if (label(member) !== member.id) item.append(make('span', 'hint', member.id));
  return item;
}

/** @param {Member} member */
function label(member) {
  const name = member.data?.name;
  return typeof name === 'string' && name ? name : member.id;
}

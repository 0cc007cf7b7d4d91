// @ts-check
// The playground: puts the client and the parts of the page together.

import { startComposer } from './composer.js';
import { button, byID, form, input, place, say } from './dom.js';
import { Feed } from './feed.js';
import { People } from './people.js';
import { showSnippets, startCopying } from './snippets.js';
import { Client } from './sno.js';

/** @typedef {import('./sno.js').State} State */
/** @typedef {import('./subscription.js').Subscription} Subscription */

const TOKEN = 'sno.token';
const DEFAULT_CHANNEL = 'lobby';
const BACKLOG = 50; // messages shown when a channel is opened

class Playground {
  channel = '';
  key = 'KEY';
  feed = new Feed((before, limit) => this.client.history(this.channel, before, limit));
  people = new People({
    enter: (name) => this.client.enter(this.channel, name),
    leave: () => this.client.leave(this.channel),
  });

  /** @param {{app?: string, key?: string}} settings */
  constructor(settings) {
    this.settings = settings;
    this.key = settings.key || 'KEY';
    this.client = this.#newClient();
    startComposer((event, json) => this.client.publish(this.channel, event, json));
    startCopying();
    this.#listen();
  }

  start() {
    this.client.connect();
    this.openChannel();
  }

  /** Shows the channel that the URL names. */
  openChannel() {
    if (this.channel) this.#closeChannel();
    this.channel = channelOfURL();
    input('channel').value = this.channel;
    document.title = `${this.channel} · Snö playground`;
    this.feed.clear();
    this.people.clear();
    showSnippets(this.channel, this.key);
    this.client.subscribe(this.channel, { last: BACKLOG, presence: true });
    this.#count();
  }

  #closeChannel() {
    if (this.people.name) this.client.leave(this.channel).catch(() => {}); // not connected: nothing to leave
    this.client.unsubscribe(this.channel);
  }

  #newClient() {
    const url = `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/v1/ws`;
    const token = sessionStorage.getItem(TOKEN) ?? '';
    byID('token', HTMLTextAreaElement).value = token;
    return new Client({ url, token, app: this.settings.app }, {
      state: (state, reason) => this.#showState(state, reason),
      messages: (messages) => { this.feed.append(messages.filter((m) => m.channel === this.channel)); this.#count(); },
      reset: (frame) => { this.feed.note(`reset (${frame.reason}): messages may be missing before ${frame.epoch}:${frame.offset}`, 'reset'); this.#count(); },
      presence: () => this.people.show(this.client.subscription(this.channel)?.members ?? new Map()),
      subscribed: (sub, resumed) => this.#subscribed(sub, resumed),
      unsubscribed: (channel, text) => this.feed.note(`not subscribed to ${channel}: ${text}`, 'refused'),
    });
  }

  /** @param {Subscription} sub @param {boolean} resumed */
  #subscribed(sub, resumed) {
    if (resumed) this.feed.note(`back, reading on after ${sub.position?.epoch}:${sub.position?.offset}`, 'resumed');
    this.#count();
  }

  #count() {
    const sub = this.client.subscription(this.channel);
    const { received, gaps, resets, duplicates } = sub?.counters ?? { received: 0, gaps: 0, resets: 0, duplicates: 0 };
    for (const [id, n] of Object.entries({ received, gaps, resets, duplicates })) {
      place(id).textContent = String(n);
      place(id).classList.toggle('bad', id !== 'received' && n > 0);
    }
    place('position').textContent = sub?.position ? `${sub.position.epoch}:${sub.position.offset}` : 'none yet';
  }

  /** @param {State} state @param {string} reason */
  #showState(state, reason) {
    place('state').dataset.state = state;
    place('state-word').textContent = state;
    button('go-offline').textContent = state === 'disconnected' ? 'Come back' : 'Go offline';
    say(place('reason'), reason);
    if (state === 'connected') place('who').textContent = this.client?.client || (sessionStorage.getItem(TOKEN) ? 'token' : 'anonymous');
  }

  #listen() {
    addEventListener('hashchange', () => { if (channelOfURL() !== this.channel) this.openChannel(); });
    addEventListener('online', () => { if (this.client.connection.state === 'connecting') this.client.connect(); });
    form('channel-form').addEventListener('submit', (event) => {
      event.preventDefault();
      location.hash = encodeURIComponent(input('channel').value.trim() || DEFAULT_CHANNEL);
    });
    button('go-offline').addEventListener('click', () => {
      if (this.client.connection.state === 'disconnected') this.client.connect();
      else this.client.disconnect('offline: what is published now comes when you come back');
    });
    form('token-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#useToken(byID('token', HTMLTextAreaElement).value.trim());
    });
    button('forget').addEventListener('click', () => this.#useToken(''));
  }

  /** Connects anew with another credential; what the old one showed is not kept. @param {string} token */
  #useToken(token) {
    if (token) sessionStorage.setItem(TOKEN, token);
    else sessionStorage.removeItem(TOKEN);
    this.client.disconnect();
    this.channel = '';
    this.client = this.#newClient();
    this.start();
  }
}

function channelOfURL() {
  try {
    return decodeURIComponent(location.hash.slice(1)) || DEFAULT_CHANNEL;
  } catch {
    return DEFAULT_CHANNEL; // a % that encodes nothing
  }
}

/** What the server says of itself; a server that says nothing can be used all the same. */
async function settings() {
  try {
    const response = await fetch('/playground.json');
    return response.ok ? await response.json() : {};
  } catch {
    return {};
  }
}

new Playground(await settings()).start();

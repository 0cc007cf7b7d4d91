// @ts-check
// A small client of Snö's native protocol (spec/PROTOCOL.md): one connection that comes back by itself, subscriptions that resume from
// their positions, requests that are answered, publishes that survive a lost connection without being doubled.

import { Connection } from './connection.js';
import { elements, member } from './rawjson.js';
import { Subscription } from './subscription.js';

/** @typedef {import('./connection.js').Frame} Frame */
/** @typedef {import('./connection.js').State} State */
/** @typedef {import('./subscription.js').Position} Position */

/**
 * @typedef {object} Message
 * @property {string} channel
 * @property {string} id
 * @property {string} [event]
 * @property {string} text the data as it was published: JSON source, or base64
 * @property {boolean} binary
 * @property {string} [client]
 * @property {number} time ms since 1970
 * @property {Position} [position] none for ephemeral messages
 * @property {number} [prev]
 */

/**
 * @typedef {object} Events
 * @property {(state: State, reason: string) => void} state
 * @property {(messages: Message[]) => void} messages
 * @property {(frame: Frame) => void} reset
 * @property {(channel: string) => void} presence
 * @property {(sub: Subscription, resumed: boolean) => void} subscribed
 * @property {(channel: string, text: string) => void} unsubscribed
 */

/** An error the server answered with, or the connection's loss (code 0). */
export class SnoError extends Error {
  /** @param {number} code @param {string} text */
  constructor(code, text) {
    super(text);
    this.code = code;
  }
}

/** @typedef {{text: string, keep: boolean, resolve: (frame: Frame) => void, reject: (error: Error) => void}} Pending */

/** @param {Frame} frame @returns {Message} */
function toMessage(frame) {
  const { id, event, client, time, epoch, offset, prev } = frame;
  const binary = frame.base64 !== undefined;
  const text = binary ? frame.base64 : member(frame.source, 'data') ?? 'null';
  const position = epoch === undefined ? undefined : { epoch, offset };
  return { channel: frame.channel, id, event, client, time, prev, binary, text, position };
}

/** A message id nobody else makes. Not randomUUID: that exists only on https and localhost. */
function newID() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, '0')).join('');
}

export class Client {
  session = '';
  client = '';
  #ref = 0;
  /** @type {Map<number, Pending>} */
  #pending = new Map();
  /** @type {Map<string, Subscription>} */
  #subscriptions = new Map();
  /** @type {Map<string, {member?: string}>} channel → the enter frame that the next connection repeats */
  #entered = new Map();

  /** @param {{url: string, token?: string, app?: string}} options @param {Events} events */
  constructor(options, events) {
    this.events = events;
    this.connection = new Connection(options.url, {
      hello: () => ({ type: 'connect', ...(options.token ? { token: options.token } : options.app ? { app: options.app } : {}) }),
      onopen: (welcome) => this.#opened(welcome),
      onframes: (frames) => this.#receive(frames),
      onstate: (state, reason) => this.#stateChanged(state, reason),
    });
  }

  connect() {
    this.connection.open();
  }

  /** @param {string} [reason] */
  disconnect(reason) {
    this.connection.close(reason);
  }

  /** @param {string} channel */
  subscription(channel) {
    return this.#subscriptions.get(channel);
  }

  /** Subscribes now and after every reconnect. @param {string} channel @param {{last?: number, presence?: boolean}} options */
  subscribe(channel, options) {
    const sub = new Subscription(channel, options);
    this.#subscriptions.set(channel, sub);
    if (this.connection.state === 'connected') this.#sendSubscribe(sub);
    return sub;
  }

  /** @param {string} channel */
  unsubscribe(channel) {
    const sub = this.#subscriptions.get(channel);
    this.#subscriptions.delete(channel);
    if (sub && sub.state !== 'unsubscribed') this.connection.send(JSON.stringify({ type: 'unsubscribe', channel }));
  }

  /**
   * Publishes a JSON source text. If the connection is lost before the answer it is sent again with the same id: the server knows whether it had it.
   * @param {string} channel @param {string} event @param {string} json
   */
  publish(channel, event, json) {
    const head = { type: 'publish', ref: ++this.#ref, channel, id: newID(), ...(event ? { event } : {}) };
    return this.#ask(head.ref, `${JSON.stringify(head).slice(0, -1)},"data":${json}}`, true);
  }

  /** The messages below an offset, oldest first. @param {string} channel @param {number} before @param {number} limit */
  async history(channel, before, limit) {
    const page = await this.#request({ type: 'history', channel, before, limit });
    const sources = elements(member(page.source, 'messages') ?? '[]');
    const messages = page.messages.map((/** @type {Frame} */ m, /** @type {number} */ i) => toMessage({ ...m, channel, source: sources[i] }));
    return { messages: /** @type {Message[]} */ (messages), more: Boolean(page.more) };
  }

  /** Stands for a member until leave, also after reconnects. @param {string} channel @param {string} name */
  async enter(channel, name) {
    const frame = { type: 'enter', channel, data: { name }, ...(this.client ? {} : { member: name }) };
    await this.#request(frame);
    this.#entered.set(channel, frame);
  }

  /** @param {string} channel */
  async leave(channel) {
    const member = this.#entered.get(channel)?.member;
    this.#entered.delete(channel);
    await this.#request({ type: 'leave', channel, ...(member ? { member } : {}) });
  }

  /** @param {State} state @param {string} reason */
  #stateChanged(state, reason) {
    if (state !== 'connected') this.#dropPending(state);
    this.events.state(state, reason);
  }

  /** Requests without an answer fail with the connection, except those that may be repeated. @param {State} state */
  #dropPending(state) {
    for (const [ref, pending] of this.#pending) {
      if (pending.keep && state === 'connecting') continue;
      this.#pending.delete(ref);
      pending.reject(new SnoError(0, 'the connection was lost before the answer came'));
    }
  }

  /** @param {Frame} welcome */
  #opened(welcome) {
    this.session = welcome.session;
    this.client = welcome.client ?? '';
    for (const sub of this.#subscriptions.values()) this.#sendSubscribe(sub);
    for (const frame of this.#entered.values()) this.connection.send(JSON.stringify(frame));
    for (const pending of this.#pending.values()) if (pending.keep) this.connection.send(pending.text);
  }

  /** @param {Subscription} sub */
  async #sendSubscribe(sub) {
    const resumed = sub.position !== null;
    const ref = ++this.#ref;
    try {
      await this.#ask(ref, JSON.stringify(sub.request(ref)), false, (frame) => {
        sub.subscribed(frame);
        this.events.subscribed(sub, resumed);
      });
    } catch (error) {
      if (error instanceof SnoError && error.code > 0) this.#refused(sub, error);
    }
  }

  /** Without leave to see who is there, the messages can still be read. @param {Subscription} sub @param {SnoError} error */
  #refused(sub, error) {
    if (this.#subscriptions.get(sub.channel) !== sub) return;
    if (sub.options.presence) {
      sub.options = { ...sub.options, presence: false };
      this.#sendSubscribe(sub);
      return;
    }
    sub.state = 'unsubscribed';
    this.events.unsubscribed(sub.channel, error.message);
  }

  /** @param {object} frame @returns {Promise<Frame>} */
  #request(frame) {
    const ref = ++this.#ref;
    return this.#ask(ref, JSON.stringify({ ...frame, ref }), false);
  }

  /**
   * @param {number} ref @param {string} text @param {boolean} keep send again after a reconnect
   * @param {(frame: Frame) => void} [first] called with the answer before the frames after it are looked at
   * @returns {Promise<Frame>}
   */
  #ask(ref, text, keep, first) {
    const { state } = this.connection;
    if (state === 'disconnected' || (state === 'connecting' && !keep)) return Promise.reject(new SnoError(0, 'not connected'));
    this.connection.send(text);
    return new Promise((resolve, reject) => {
      this.#pending.set(ref, { text, keep, reject, resolve: (frame) => { first?.(frame); resolve(frame); } });
    });
  }

  /** @param {Frame[]} frames */
  #receive(frames) {
    /** @type {Message[]} */
    let messages = [];
    for (const frame of frames) {
      const sub = this.#subscriptions.get(frame.channel);
      if (frame.type === 'message') {
        // Before "subscribed" they belong to a subscription that this one replaces.
        if (sub?.state === 'subscribed' && sub.take(frame)) messages.push(toMessage(frame));
        continue;
      }
      if (messages.length > 0) this.events.messages(messages); // before what comes after them
      messages = [];
      this.#answer(frame);
      if (sub) this.#follow(sub, frame);
    }
    if (messages.length > 0) this.events.messages(messages);
  }

  /** @param {Frame} frame */
  #answer(frame) {
    const pending = this.#pending.get(frame.ref);
    if (!pending) return;
    this.#pending.delete(frame.ref);
    if (frame.type === 'error') pending.reject(new SnoError(frame.code, frame.text));
    else pending.resolve(frame);
  }

  /** @param {Subscription} sub @param {Frame} frame */
  #follow(sub, frame) {
    if (frame.type === 'skip' || frame.type === 'reset') sub.moved(frame);
    if (frame.type === 'reset') this.events.reset(frame);
    if (frame.type === 'presence') this.#present(sub, frame);
    if (frame.type === 'unsubscribed' && frame.code) {
      sub.state = 'unsubscribed';
      this.events.unsubscribed(sub.channel, frame.text);
    }
  }

  /** @param {Subscription} sub @param {Frame} frame */
  #present(sub, frame) {
    if (!sub.presence(frame)) this.connection.send(JSON.stringify({ type: 'presence', channel: sub.channel, ref: ++this.#ref }));
    this.events.presence(sub.channel);
  }
}

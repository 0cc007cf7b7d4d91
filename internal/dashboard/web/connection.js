// @ts-check
// One WebSocket after another: connects, greets, notices silence, and connects again as spec/PROTOCOL.md "Codes" says.

import { elements } from './rawjson.js';

/** @typedef {'disconnected'|'connecting'|'connected'} State */
/** @typedef {Record<string, any> & {type: string}} Frame a frame, with the text it came as in `source` */

/**
 * @typedef {object} Handlers
 * @property {() => object} hello makes the connect frame
 * @property {(welcome: Frame) => void} onopen
 * @property {(frames: Frame[]) => void} onframes
 * @property {(state: State, reason: string) => void} onstate
 */

const WELCOME_WITHIN = 10_000; // ms
const SILENCE_BEYOND_HEARTBEAT = 10_000; // ms
const STABLE_AFTER = 5_000; // ms a connection must have lasted before failures are counted from zero again
const NORMAL_CLOSE = 1000;
const TOKEN_EXPIRED = 4201;

/** @param {number} code @returns {'no'|'backoff'|'now'} */
function reconnect(code) {
  if (code === TOKEN_EXPIRED) return 'no'; // a person pastes tokens here: the same one again would only expire again
  if (code >= 4000 && code < 4100) return 'no';
  return code >= 4200 && code < 4300 ? 'now' : 'backoff';
}

export class Connection {
  /** @type {State} */
  state = 'disconnected';
  reason = '';
  /** @type {WebSocket|null} */
  #socket = null;
  #retryTimer = 0;
  #silenceTimer = 0;
  #goawayTimer = 0;
  #failures = 0;
  #openedAt = 0;
  #heartbeat = 25_000;
  #backoff = { min: 500, max: 20_000 };
  /** @type {{code: number, text: string}|null} */
  #lastError = null;

  /** @param {string} url @param {Handlers} handlers */
  constructor(url, handlers) {
    this.url = url;
    this.handlers = handlers;
  }

  /** Connects, and stays connected until close. Waiting for the next try, it tries at once. */
  open() {
    if (this.#socket) return;
    clearTimeout(this.#retryTimer);
    this.#setState('connecting', this.reason);
    const socket = new WebSocket(this.url, 'sno.v1');
    this.#socket = socket;
    this.#lastError = null;
    this.#listenFor(WELCOME_WITHIN);
    socket.onopen = () => socket.send(JSON.stringify(this.handlers.hello()));
    socket.onmessage = (event) => this.#receive(String(event.data));
    socket.onclose = (event) => this.#lost(event.code, event.reason);
  }

  /** Closes and stays closed. @param {string} [reason] */
  close(reason = '') {
    this.#abandon(NORMAL_CLOSE);
    clearTimeout(this.#retryTimer);
    this.#failures = 0;
    this.#setState('disconnected', reason);
  }

  /** Sends if connected; what is sent in vain is for the caller to know by the state. @param {string} text */
  send(text) {
    if (this.state === 'connected') this.#socket?.send(text);
  }

  /** @param {string} text */
  #receive(text) {
    this.#listenFor(this.#heartbeat + SILENCE_BEYOND_HEARTBEAT);
    const parsed = JSON.parse(text);
    const frames = Array.isArray(parsed) ? parsed : [parsed];
    elements(text).forEach((source, i) => { frames[i].source = source; });
    const rest = frames.filter((frame) => !this.#control(frame));
    if (rest.length > 0) this.handlers.onframes(rest);
  }

  /** Handles what concerns the connection itself. @param {Frame} frame @returns {boolean} */
  #control(frame) {
    if (frame.type === 'welcome') this.#welcomed(frame);
    else if (frame.type === 'goaway') this.#goaway(frame.delay);
    else if (frame.type === 'error' && frame.code < 4300) this.#lastError = { code: frame.code, text: frame.text };
    else return frame.type === 'ping';
    return true;
  }

  /** @param {Frame} welcome */
  #welcomed(welcome) {
    this.#heartbeat = welcome.heartbeat ?? this.#heartbeat;
    this.#backoff = welcome.backoff ?? this.#backoff;
    this.#openedAt = Date.now();
    this.#listenFor(this.#heartbeat + SILENCE_BEYOND_HEARTBEAT);
    this.#setState('connected', '');
    this.handlers.onopen(welcome);
  }

  /** The server is draining: go on until it closes or the delay it drew for us has passed. @param {number} delay ms */
  #goaway(delay) {
    clearTimeout(this.#goawayTimer);
    this.#goawayTimer = setTimeout(() => {
      this.#abandon(NORMAL_CLOSE);
      this.open();
    }, delay);
  }

  /** @param {number} ms */
  #listenFor(ms) {
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => {
      // Not close(): a dead peer answers no closing handshake, and its event would come a minute late.
      this.#abandon(4999);
      this.#lost(1006, 'nothing was heard from the server');
    }, ms);
  }

  /** Lets go of the socket without waiting for it. @param {number} code */
  #abandon(code) {
    clearTimeout(this.#silenceTimer);
    clearTimeout(this.#goawayTimer);
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(code);
  }

  /** @param {number} code @param {string} text */
  #lost(code, text) {
    clearTimeout(this.#silenceTimer);
    clearTimeout(this.#goawayTimer);
    this.#socket = null;
    if (this.#openedAt > 0 && Date.now() - this.#openedAt > STABLE_AFTER) this.#failures = 0;
    this.#openedAt = 0;
    const why = this.#lastError ?? { code, text: text || `the connection was lost (${code})` };
    this.#next(why.code, why.text);
  }

  /** @param {number} code @param {string} text */
  #next(code, text) {
    const how = reconnect(code);
    if (how === 'no') {
      this.#setState('disconnected', `${text} (${code})`);
      return;
    }
    const delay = how === 'now' && this.#failures === 0 ? 0 : this.#jitter();
    this.#failures++;
    this.#setState('connecting', text);
    this.#retryTimer = setTimeout(() => this.open(), delay);
  }

  /** A random delay, so that the clients of a server that restarts do not all come at once. @returns {number} ms */
  #jitter() {
    const { min, max } = this.#backoff;
    return Math.random() * Math.min(max, min * 2 ** this.#failures);
  }

  /** @param {State} state @param {string} reason */
  #setState(state, reason) {
    this.state = state;
    this.reason = reason;
    this.handlers.onstate(state, reason);
  }
}

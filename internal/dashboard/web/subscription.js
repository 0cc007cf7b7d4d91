// @ts-check
// What one subscription knows: where it is in the channel's log, whether the chain of positions holds, and who is there.

/** @typedef {import('./connection.js').Frame} Frame */
/** @typedef {{epoch: string, offset: number}} Position */
/** @typedef {{id: string, data?: any, sessions?: number}} Member */
/** @typedef {{received: number, gaps: number, resets: number, duplicates: number}} Counters */

export class Subscription {
  /** @type {'unsubscribed'|'subscribing'|'subscribed'} */
  state = 'subscribing';
  /** @type {Position|null} where the next connection resumes */
  position = null;
  /** @type {Counters} */
  counters = { received: 0, gaps: 0, resets: 0, duplicates: 0 };
  /** @type {Map<string, Member>} */
  members = new Map();
  #version = -1;
  #latest = false;

  /** @param {string} channel @param {{last?: number, presence?: boolean}} options */
  constructor(channel, options) {
    this.channel = channel;
    this.options = options;
  }

  /** The subscribe frame: after the position if there is one, else as the options say. @param {number} ref */
  request(ref) {
    const { last, presence } = this.options;
    const begin = this.position ?? (last ? { last } : {});
    this.state = 'subscribing';
    return { type: 'subscribe', ref, channel: this.channel, ...begin, ...(presence ? { presence } : {}) };
  }

  /** @param {Frame} frame */
  subscribed(frame) {
    this.state = 'subscribed';
    this.#latest = frame.deliver === 'latest';
    this.position = { epoch: frame.epoch, offset: frame.offset };
  }

  /** @param {Frame} frame a reset or skip: reading goes on after it */
  moved(frame) {
    if (frame.type === 'reset') this.counters.resets++;
    else this.#check(frame);
    this.position = { epoch: frame.epoch, offset: frame.offset };
  }

  /** Takes a message. False: it is one that was here before, which the server promises not to send. @param {Frame} frame */
  take(frame) {
    if (frame.ephemeral) {
      this.counters.received++;
      return true;
    }
    if (this.position && this.position.epoch === frame.epoch && frame.offset <= this.position.offset) {
      this.counters.duplicates++;
      return false;
    }
    this.#check(frame);
    this.counters.received++;
    this.position = { epoch: frame.epoch, offset: frame.offset };
    return true;
  }

  /** Whether everything between our position and the frame has been seen. @param {Frame} frame */
  #check(frame) {
    const at = this.position;
    if (!at || this.#latest) return;
    if (frame.epoch !== at.epoch || frame.prev > at.offset) this.counters.gaps++;
  }

  /** Applies a presence frame. False: changes are missing in between, ask for a snapshot. @param {Frame} frame */
  presence(frame) {
    if (frame.action === 'snapshot') {
      this.#version = frame.version;
      this.members = new Map(frame.members.map((/** @type {Member} */ m) => [m.id, m]));
      return true;
    }
    if (frame.version <= this.#version) return true; // the snapshot had it
    if (frame.version !== this.#version + 1) return false;
    this.#version = frame.version;
    if (frame.action === 'leave') this.members.delete(frame.member.id);
    else this.members.set(frame.member.id, { ...this.members.get(frame.member.id), ...frame.member });
    return true;
  }
}

/**
 * One request for the reads of one turn: what code asks for without waiting in between (`Promise.all` of gets) goes together.
 *
 * Nobody waits for company: the requests are sent as soon as the code that asks pauses, a microtask later and not by a timer. A key that
 * is asked for alone goes as a plain GET, which caches in front understand. A key asked for twice is read once.
 */

export class Gatherer {
  #one;
  #many;
  #most;
  /** @type {Map<string, {resolve: Function, reject: Function}[]> | undefined} who waits, by key */
  #waiting;

  /**
   * @template T
   * @param {(key: string) => Promise<T>} one
   * @param {(keys: string[]) => Promise<Map<string, T | Error>>} many an error instead of what cannot be had
   * @param {number} most keys of one request
   */
  constructor(one, many, most) {
    this.#one = one;
    this.#many = many;
    this.#most = most;
  }

  /** What `key` has. */
  ask(key) {
    return new Promise((resolve, reject) => {
      if (this.#waiting === undefined) {
        this.#waiting = new Map();
        queueMicrotask(() => this.#go());
      }
      const waiting = this.#waiting.get(key);
      if (waiting) waiting.push({ resolve, reject });
      else this.#waiting.set(key, [{ resolve, reject }]);
    });
  }

  #go() {
    const waiting = [...this.#waiting];
    this.#waiting = undefined;
    for (let from = 0; from < waiting.length; from += this.#most) this.#send(waiting.slice(from, from + this.#most));
  }

  async #send(waiting) {
    try {
      const keys = waiting.map(([key]) => key);
      const found = keys.length === 1 ? new Map([[keys[0], await this.#one(keys[0])]]) : await this.#many(keys);
      for (const [key, askers] of waiting) {
        const value = found.get(key);
        for (const { resolve, reject } of askers) (value instanceof Error ? reject : resolve)(value);
      }
    } catch (error) {
      for (const { reject } of waiting.flatMap(([, askers]) => askers)) reject(error);
    }
  }
}

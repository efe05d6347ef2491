// Random numbers from a seed, so that a failure can be repeated.
/** mulberry32 */
export class Random {
    #state;
    constructor(seed) {
        this.#state = seed | 0;
    }
    /** In [0, 1). */
    next() {
        this.#state = (this.#state + 0x6d2b79f5) | 0;
        let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
        t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
        return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    }
    /** In [0, below). */
    int(below) {
        return Math.floor(this.next() * below);
    }
    pick(items) {
        return items[this.int(items.length)];
    }
    chance(probability) {
        return this.next() < probability;
    }
    shuffled(items) {
        const result = [...items];
        for (let i = result.length - 1; i > 0; i--) {
            const j = this.int(i + 1);
            [result[i], result[j]] = [result[j], result[i]];
        }
        return result;
    }
}
//# sourceMappingURL=random.js.map
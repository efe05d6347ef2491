/** mulberry32 */
export declare class Random {
    #private;
    constructor(seed: number);
    /** In [0, 1). */
    next(): number;
    /** In [0, below). */
    int(below: number): number;
    pick<T>(items: readonly T[]): T;
    chance(probability: number): boolean;
    shuffled<T>(items: readonly T[]): T[];
}
//# sourceMappingURL=random.d.ts.map
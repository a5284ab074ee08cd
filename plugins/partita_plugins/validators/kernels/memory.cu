// Memory: filled with the pattern and read back, four words at a time, the whole grid striding over it.
#include "answers.cuh"

// `first` is the address of words[0] within the device's memory; both it and `count` are multiples of four.
KERNEL fill(u32 *words, u64 first, u64 count, u32 seed, u32 inverted) {
    const u64 step = (u64)blocks() * threads();
    for (u64 quad = (u64)block_index() * threads() + thread_index(); quad < count / 4; quad += step) {
        const u64 at = first + 4 * quad;
        const u32 word = unmixed(seed, at); // the next three differ in its two lowest bits
        const Quad value = {mix(word) ^ inverted, mix(word ^ 1) ^ inverted, mix(word ^ 2) ^ inverted,
                            mix(word ^ 3) ^ inverted};
        store((Quad *)words, quad, value);
    }
}

KERNEL check(const u32 *words, u64 first, u64 count, u32 seed, u32 inverted, Report *report) {
    const u64 step = (u64)blocks() * threads();
    u64 checked = 0;
    for (u64 quad = (u64)block_index() * threads() + thread_index(); quad < count / 4; quad += step) {
        const u64 at = first + 4 * quad;
        const Quad got = load((const Quad *)words, quad);
        const u32 word = unmixed(seed, at);
        compare(report, at, got.x, mix(word) ^ inverted);
        compare(report, at + 1, got.y, mix(word ^ 1) ^ inverted);
        compare(report, at + 2, got.z, mix(word ^ 2) ^ inverted);
        compare(report, at + 3, got.w, mix(word ^ 3) ^ inverted);
        checked += 4;
    }
    took_part(report, checked);
}

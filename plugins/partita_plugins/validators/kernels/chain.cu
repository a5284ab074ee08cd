// Chains of multiply-adds, one a thread and stride: each step is exact, so the end is known without computing it.
#include "answers.cuh"

// Where a chain starts: three times it, and all that is added, is held exactly by the format.
INLINE u64 start_of(u32 seed, u64 chain, float) { return pattern(seed, chain) & 0xFFFFF; }
INLINE u64 start_of(u32 seed, u64 chain, double) {
    return (u64)(pattern(~seed, chain) & 0x3FFFF) << 32 | pattern(seed, chain);
}

template <class Real, class Bits> INLINE void chains(u32 seed, u64 count, Bits *out, Report *report) {
    const u64 step = (u64)blocks() * threads();
    u64 checked = 0;
    for (u64 chain = (u64)block_index() * threads() + thread_index(); chain < count; chain += step) {
        const u64 start = start_of(seed, chain, Real());
        Real x = (Real)start;
        for (u32 i = 0; i < FMA_STEPS; ++i)
            x = multiply_add(x, (Real)-2, multiply_add(x, (Real)3, (Real)FMA_TERM));
        if (out)
            out[chain] = bits_of(x);
        compare(report, chain, bits_of(x), bits_of((Real)(start + (u64)FMA_STEPS * FMA_TERM)));
        ++checked;
    }
    took_part(report, checked);
}

KERNEL chain_fp32(u32 seed, u64 count, u32 *out, Report *report) { chains<float>(seed, count, out, report); }
KERNEL chain_fp64(u32 seed, u64 count, u64 *out, Report *report) { chains<double>(seed, count, out, report); }

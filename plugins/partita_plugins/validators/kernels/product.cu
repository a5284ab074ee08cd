// Products on tensor cores: two matrices of small integers, whose sums every accumulator holds exactly. Each warp makes
// tiles of the result, 16 by 8, and compares them with the integers' own product, which the host has computed.
#include "answers.cuh"

// `half`: factors are -half to half - 1. fp8 sums stay below 2^13, for Hopper adds them up with 14 bits (DeepSeek-V3
// technical report, section 3.5.2); those of two-byte numbers below 2^21.
struct Fp16 {
    static const u32 bits = 16, bits_of_fraction = 10, bias = 15, half = 128;
};
struct Bf16 {
    static const u32 bits = 16, bits_of_fraction = 7, bias = 127, half = 128;
};
struct E4m3 {
    static const u32 bits = 8, bits_of_fraction = 3, bias = 7, half = 8;
};

template <class T, u32 N> struct Registers {
    T at[N];
};
typedef Registers<u32, 4> A; // fragments of PTX's m16n8k16 and m16n8k32
typedef Registers<u32, 2> B;
typedef Registers<float, 4> C;

// The format's bits of an integer that it holds exactly.
template <class Format> INLINE u32 encode(int value) {
    if (value == 0)
        return 0;
    const u32 bits = bits_of((float)value);
    const u32 exponent = (bits >> 23 & 0xFF) - 127 + Format::bias;
    const u32 fraction = (bits & 0x7FFFFF) >> (23 - Format::bits_of_fraction);
    return bits >> 31 << (Format::bits - 1) | exponent << Format::bits_of_fraction | fraction;
}

// Factors of one register: neighbours along the sum. `stride` apart in their matrix, as both lie there in row order.
template <class Format> INLINE u32 packed(u32 seed, u32 index, u32 stride) {
    u32 word = 0;
    UNROLL for (u32 i = 0; i < 32 / Format::bits; ++i)
        word |= encode<Format>(factor(seed, index + i * stride, Format::half)) << i * Format::bits;
    return word;
}

template <class Format>
INLINE void products(u32 seed, u32 rounds, const u32 *expected, u32 *out, Report *report) {
    const u32 per = 32 / Format::bits; // factors in a register
    const u32 tiles = SIDE / 16 * (SIDE / 8);
    const u32 warps = blocks() * threads() / 32;
    const u32 warp = (block_index() * threads() + thread_index()) / 32;
    u64 checked = 0;
    for (u32 round = 0; round < rounds; ++round) {
        const u32 tile = (warp + round * warps) % tiles;
        const u32 top = tile / (SIDE / 8) * 16, left = tile % (SIDE / 8) * 8;
        Lanes<C> c = {};
        for (u32 k = 0; k < SIDE; k += 8 * per) {
            Lanes<A> a;
            Lanes<B> b;
            FOR_EACH_LANE(lane) {
                const u32 group = lane / 4, along = k + lane % 4 * per;
                UNROLL for (u32 i = 0; i < 4; ++i)
                    a[lane].at[i] = packed<Format>(
                        seed, (top + group + i % 2 * 8) * SIDE + along + i / 2 * 4 * per, 1);
                UNROLL for (u32 i = 0; i < 2; ++i)
                    b[lane].at[i] = packed<Format>(~seed, (along + i * 4 * per) * SIDE + left + group, SIDE);
            }
            multiply_tile<Format>(a, b, c);
        }
        FOR_EACH_LANE(lane) {
            UNROLL for (u32 i = 0; i < 4; ++i) {
                const u32 element = (top + lane / 4 + i / 2 * 8) * SIDE + left + lane % 4 * 2 + i % 2;
                const u32 bits = bits_of(c[lane].at[i]);
                const u32 got = bits == 0x80000000u ? 0 : bits; // how a zero is signed is nobody's promise
                if (out)
                    out[element] = got;
                compare(report, element, got, expected[element]);
                ++checked;
            }
        }
    }
    took_part(report, checked);
}

KERNEL product_fp16(u32 seed, u32 rounds, const u32 *expected, u32 *out, Report *report) {
    products<Fp16>(seed, rounds, expected, out, report);
}
KERNEL product_bf16(u32 seed, u32 rounds, const u32 *expected, u32 *out, Report *report) {
    products<Bf16>(seed, rounds, expected, out, report);
}
KERNEL product_e4m3(u32 seed, u32 rounds, const u32 *expected, u32 *out, Report *report) {
    products<E4m3>(seed, rounds, expected, out, report);
}

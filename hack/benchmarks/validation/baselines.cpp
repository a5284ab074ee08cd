// What the field runs to find a broken GPU, written for the simulated one (machine/host.hpp of the testing package), where
// every number passes the same arithmetic, address lines and memory as the validator's own kernels.
#include "product.cu"

INLINE float float_of(u32 bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}
INLINE u32 sum_of(u32 a, u32 b) { return bits_of(multiply_add(float_of(a), 1.0f, float_of(b))); }
INLINE u32 &word_at(u32 *words, u64 index) { return *wired(words + index); }

// The CUDA samples' vectorAdd: c[i] = a[i] + b[i].
KERNEL vector_add(const Quad *a, const Quad *b, Quad *c, u64 quads) {
    const u64 quad = (u64)block_index() * threads() + thread_index();
    if (quad >= quads)
        return;
    const Quad x = load(a, quad), y = load(b, quad);
    store(c, quad, {sum_of(x.x, y.x), sum_of(x.y, y.y), sum_of(x.z, y.z), sum_of(x.w, y.w)});
}

// torch.sum of so few numbers is one block's work.
KERNEL sum(const Quad *numbers, u64 quads, Quad *out) {
    if (block_index() != 0 || thread_index() != 0)
        return;
    u32 total = 0;
    for (u64 quad = 0; quad < quads; ++quad) {
        const Quad x = load(numbers, quad);
        total = sum_of(total, sum_of(sum_of(x.x, x.y), sum_of(x.z, x.w)));
    }
    store(out, 0, {total, 0, 0, 0});
}

// Factors of one register of gpu-burn's kind: 0 to 113, whose sums of 64 are as large as its sums of 8,192.
INLINE u32 burnt(u32 seed, u32 index, u32 stride) {
    u32 word = 0;
    for (u32 i = 0; i < 2; ++i)
        word |= encode<Fp16>((int)(pattern(seed, index + i * stride) % 114)) << 16 * i;
    return word;
}

// gpu-burn: the same product over and over, each time into another matrix. A warp makes a tile of one of them.
KERNEL burn(u32 seed, u32 copies, u32 *out) {
    const u32 tiles = SIDE / 16 * (SIDE / 8);
    const u32 warp = (block_index() * threads() + thread_index()) / 32;
    const u32 copy = warp / tiles, tile = warp % tiles;
    if (copy >= copies)
        return;
    const u32 top = tile / (SIDE / 8) * 16, left = tile % (SIDE / 8) * 8;
    Lanes<C> c = {};
    for (u32 k = 0; k < SIDE; k += 16) {
        Lanes<A> a;
        Lanes<B> b;
        FOR_EACH_LANE(lane) {
            const u32 group = lane / 4, along = k + lane % 4 * 2;
            for (u32 i = 0; i < 4; ++i)
                a[lane].at[i] = burnt(seed, (top + group + i % 2 * 8) * SIDE + along + i / 2 * 8, 1);
            for (u32 i = 0; i < 2; ++i)
                b[lane].at[i] = burnt(~seed, (along + i * 8) * SIDE + left + group, SIDE);
        }
        multiply_tile<Fp16>(a, b, c);
    }
    FOR_EACH_LANE(lane)
        for (u32 i = 0; i < 4; ++i) {
            const u32 element = (top + lane / 4 + i / 2 * 8) * SIDE + left + lane % 4 * 2 + i % 2;
            word_at(out, (u64)copy * SIDE * SIDE + element) = bits_of(c[lane].at[i]);
        }
}

// gpu-burn's compare.cu: every matrix with the first one. A NaN is no difference greater than any.
KERNEL differ(u32 *matrices, u32 copies, u64 *faulty) {
    const u64 step = (u64)blocks() * threads(), size = SIDE * SIDE;
    for (u64 i = size + (u64)block_index() * threads() + thread_index(); i < copies * size; i += step)
        if (std::fabs(float_of(word_at(matrices, i % size)) - float_of(word_at(matrices, i))) > 0.001f)
            add_atomically(faulty, 1);
}

#define LAUNCH(NAME, STEP, PARAMETERS, ...)                                                                            \
    extern "C" void launch_##NAME(const Machine *machine, u32 grid, u32 block, PARAMETERS) {                           \
        host_machine = *machine;                                                                                       \
        run(grid, block, STEP, NAME, __VA_ARGS__);                                                                     \
    }
#define LIST(...) __VA_ARGS__

LAUNCH(vector_add, 1, LIST(const Quad *a, const Quad *b, Quad *c, u64 quads), a, b, c, quads)
LAUNCH(sum, 1, LIST(const Quad *numbers, u64 quads, Quad *out), numbers, quads, out)
LAUNCH(burn, 32, LIST(u32 seed, u32 copies, u32 *out), seed, copies, out)
LAUNCH(differ, 1, LIST(u32 *matrices, u32 copies, u64 *faulty), matrices, copies, faulty)

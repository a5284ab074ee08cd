// A GPU for the kernels' own source, on the CPU: threads one after the other, tensor cores by the definition of their
// fragments (PTX ISA, "Matrix Fragments for mma.m16n8k16" and "m16n8k32"), and hardware faults to be found.
#pragma once
#include <cmath>
#include <cstring>

#define KERNEL static void
#define INLINE static inline
#define UNROLL _Pragma("GCC unroll 8")
#define FOR_EACH_LANE(lane) for (u32 lane = 0; lane < 32; ++lane)

template <class T> struct Lanes {
    T each[32];
    T &operator[](u32 lane) { return each[lane]; }
};

enum FaultKind : u32 {
    NO_FAULT,
    WRONG_BIT,     // a multiprocessor's sums are one too large
    NOT_A_NUMBER,  // its tensor cores answer NaN
    SWAPPED_LANES, // its tensor cores see two lanes' operands exchanged
    IDLE,          // it gets no block, another gets them
    LOW_BIT,       // its sums are too large by the least that their format can tell
};

struct Machine {
    u32 multiprocessors;
    u32 fault, faulty_multiprocessor;
    int stuck_line;             // this bit of the address of every word of the memory reads 0; -1: none
    u64 memory, memory_bytes;   // where the memory is
};

INLINE thread_local Machine host_machine = {1, NO_FAULT, 0, -1, 0, 0};
INLINE thread_local u32 host_block, host_thread, host_blocks, host_threads, host_multiprocessor, host_fault;

INLINE u32 block_index() { return host_block; }
INLINE u32 thread_index() { return host_thread; }
INLINE u32 blocks() { return host_blocks; }
INLINE u32 threads() { return host_threads; }
INLINE u32 multiprocessor() { return host_multiprocessor; }

// Where a block runs, and what is wrong there.
INLINE void place_block(u32 block) {
    const Machine &machine = host_machine;
    host_block = block;
    host_multiprocessor = block % machine.multiprocessors;
    const bool faulty = host_multiprocessor == machine.faulty_multiprocessor;
    host_fault = faulty && machine.fault != IDLE ? machine.fault : NO_FAULT;
    if (faulty && machine.fault == IDLE)
        host_multiprocessor = (block + 1) % machine.multiprocessors;
}

struct alignas(16) Quad {
    u32 x, y, z, w;
};

// Where an access really goes. The two lowest lines are within a quad.
template <class T> INLINE T *wired(T *at) {
    const Machine &machine = host_machine;
    const u64 offset = (u64)at - machine.memory;
    if (machine.stuck_line < 0 || offset >= machine.memory_bytes)
        return at;
    return (T *)(machine.memory + (offset & ~(sizeof(u32) << machine.stuck_line)));
}
INLINE void store(Quad *quads, u64 index, Quad value) { *wired(quads + index) = value; }
INLINE Quad load(const Quad *quads, u64 index) { return *wired(quads + index); }

INLINE u32 bits_of(float value) {
    u32 bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}
INLINE u64 bits_of(double value) {
    u64 bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

// A sum as the multiprocessor gives it.
template <class Real> INLINE Real given(Real sum) {
    if (host_fault == NO_FAULT)
        return sum;
    if (host_fault == LOW_BIT)
        return std::nextafter(sum, (Real)INFINITY);
    return host_fault == WRONG_BIT ? sum + 1 : sum;
}

// Every step of a chain is exact: fused and not fused are the same.
INLINE float multiply_add(float a, float b, float c) { return given(a * b + c); }
INLINE double multiply_add(double a, double b, double c) { return given(a * b + c); }

INLINE u64 add_atomically(u64 *counter, u64 value) {
    const u64 before = *counter;
    *counter += value;
    return before;
}
INLINE void set_atomically(u32 *word, u32 bits) { *word |= bits; }

// The number that some bits of a register are. Subnormal ones are not in use.
template <class Format> INLINE float decoded(u32 word, u32 index) {
    const u32 magnitude_bits = Format::bits - 1, bits = word >> index * Format::bits;
    const u32 fraction = bits & ((1u << Format::bits_of_fraction) - 1);
    const u32 exponent = (bits & ((1u << magnitude_bits) - 1)) >> Format::bits_of_fraction;
    if (exponent == 0)
        return 0.0f;
    const u32 single = (bits >> magnitude_bits & 1) << 31 | (exponent + 127 - Format::bias) << 23 |
                       fraction << (23 - Format::bits_of_fraction);
    float value;
    std::memcpy(&value, &single, sizeof value);
    return value;
}

// Row, column and register of every element, by the tables: the loads of the kernels are not consulted.
template <class Format, class A, class B, class C> INLINE void multiply_tile(Lanes<A> &a, Lanes<B> &b, Lanes<C> &c) {
    const u32 per = 32 / Format::bits, depth = 8 * per;
    float rows[16][32], columns[32][8];
    for (u32 lane = 0; lane < 32; ++lane) {
        const u32 source = host_fault == SWAPPED_LANES && lane < 2 ? 1 - lane : lane;
        for (u32 i = 0; i < 4 * per; ++i) { // a_i, in PTX's numbering
            const u32 row = lane / 4 + (i / per % 2 ? 8 : 0);
            const u32 column = lane % 4 * per + i % per + (i / per / 2 ? depth / 2 : 0);
            rows[row][column] = decoded<Format>(a[source].at[i / per], i % per);
        }
        for (u32 i = 0; i < 2 * per; ++i) { // b_i
            const u32 row = lane % 4 * per + i % per + (i / per ? depth / 2 : 0);
            columns[row][lane / 4] = decoded<Format>(b[source].at[i / per], i % per);
        }
    }
    for (u32 lane = 0; lane < 32; ++lane) {
        for (u32 i = 0; i < 4; ++i) { // c_i
            float sum = c[lane].at[i];
            for (u32 k = 0; k < depth; ++k)
                sum += rows[lane / 4 + (i < 2 ? 0 : 8)][k] * columns[k][lane % 4 * 2 + i % 2];
            c[lane].at[i] = host_fault == NOT_A_NUMBER ? NAN : given(sum);
        }
    }
}

// A launch: blocks in order, in each its threads (or, `step` 32, its warps) in order.
template <class... Arguments>
INLINE void run(u32 grid, u32 block, u32 step, void (*kernel)(Arguments...), Arguments... arguments) {
    host_blocks = grid;
    host_threads = block;
    for (u32 number = 0; number < grid; ++number) {
        place_block(number);
        for (host_thread = 0; host_thread < block; host_thread += step)
            kernel(arguments...);
    }
}

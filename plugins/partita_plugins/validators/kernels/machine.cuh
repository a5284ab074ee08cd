// What the kernels need of the machine they run on: a GPU here, the CPU in tests (machine/host.hpp of the testing package).
//
// A warp's threads work together in tensor-core products alone. Such a kernel is written for the warp: Lanes<T> is one T
// a lane, FOR_EACH_LANE runs what follows on each. On a GPU that is the lane's own register, and no loop.
#pragma once

typedef unsigned int u32;
typedef unsigned long long u64;

#ifndef __CUDACC__
#include "host.hpp"
#else

#define KERNEL extern "C" __global__ void
#define INLINE __device__ __forceinline__
#define UNROLL _Pragma("unroll")
#define FOR_EACH_LANE(lane) if (const u32 lane = threadIdx.x % 32; true)

template <class T> struct Lanes {
    T own;
    INLINE T &operator[](u32) { return own; }
};

INLINE u32 block_index() { return blockIdx.x; }
INLINE u32 thread_index() { return threadIdx.x; }
INLINE u32 blocks() { return gridDim.x; }
INLINE u32 threads() { return blockDim.x; }

// The multiprocessor that this thread runs on: 0 to %nsmid, not always without gaps.
INLINE u32 multiprocessor() {
    u32 number;
    asm volatile("mov.u32 %0, %%smid;" : "=r"(number));
    return number;
}

typedef uint4 Quad; // four words in one access
INLINE void store(Quad *quads, u64 index, Quad value) { quads[index] = value; }
// Past the multiprocessor's own cache.
INLINE Quad load(const Quad *quads, u64 index) { return __ldcg(quads + index); }

INLINE u32 bits_of(float value) { return __float_as_uint(value); }
INLINE u64 bits_of(double value) { return (u64)__double_as_longlong(value); }
INLINE float multiply_add(float a, float b, float c) { return __fmaf_rn(a, b, c); }
INLINE double multiply_add(double a, double b, double c) { return __fma_rn(a, b, c); }

INLINE u64 add_atomically(u64 *counter, u64 value) { return atomicAdd(counter, value); }
INLINE void set_atomically(u32 *word, u32 bits) { atomicOr(word, bits); }

// One step of a product on a tensor core: c += a b, 16 by 8, with 16 (two-byte numbers) or 32 (one-byte) terms a sum.
#define MMA(SHAPE, TYPE)                                                                                               \
    asm volatile("mma.sync.aligned." SHAPE ".row.col.f32." TYPE "." TYPE ".f32 "                                       \
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"                                               \
                 : "+f"(c.own.at[0]), "+f"(c.own.at[1]), "+f"(c.own.at[2]), "+f"(c.own.at[3])                          \
                 : "r"(a.own.at[0]), "r"(a.own.at[1]), "r"(a.own.at[2]), "r"(a.own.at[3]), "r"(b.own.at[0]),           \
                   "r"(b.own.at[1]))

// Turing multiplies half of it at a time.
#define MMA_HALF(A0, A1, B)                                                                                            \
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"       \
                 : "+f"(c.own.at[0]), "+f"(c.own.at[1]), "+f"(c.own.at[2]), "+f"(c.own.at[3])                          \
                 : "r"(a.own.at[A0]), "r"(a.own.at[A1]), "r"(b.own.at[B]))

template <class Format, class A, class B, class C> INLINE void multiply_tile(Lanes<A> &a, Lanes<B> &b, Lanes<C> &c) {
    static_assert(Format::bits_of_fraction == 10 || Format::bits_of_fraction == 7 || Format::bits_of_fraction == 3, "");
    if constexpr (Format::bits_of_fraction == 10) {
#if __CUDA_ARCH__ >= 800
        MMA("m16n8k16", "f16");
#elif __CUDA_ARCH__ >= 750
        MMA_HALF(0, 1, 0);
        MMA_HALF(2, 3, 1);
#endif
    }
#if __CUDA_ARCH__ >= 800
    if constexpr (Format::bits_of_fraction == 7)
        MMA("m16n8k16", "bf16");
#endif
#if __CUDA_ARCH__ >= 890
    if constexpr (Format::bits_of_fraction == 3)
        MMA("m16n8k32", "e4m3");
#endif
}

#endif

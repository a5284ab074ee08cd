// The kernels as functions of a shared library: launch_NAME(machine, grid, block, arguments...).
#include "kernels.cu"

#define LAUNCH(NAME, STEP, PARAMETERS, ...)                                                                            \
    extern "C" void launch_##NAME(const Machine *machine, u32 grid, u32 block, PARAMETERS) {                           \
        host_machine = *machine;                                                                                       \
        run(grid, block, STEP, NAME, __VA_ARGS__);                                                                     \
    }
#define LIST(...) __VA_ARGS__

LAUNCH(fill, 1, LIST(u32 *words, u64 first, u64 count, u32 seed, u32 inverted), words, first, count, seed, inverted)
LAUNCH(check, 1, LIST(const u32 *words, u64 first, u64 count, u32 seed, u32 inverted, Report *report), words, first,
       count, seed, inverted, report)
LAUNCH(product_fp16, 32, LIST(u32 seed, u32 rounds, const u32 *expected, u32 *out, Report *report), seed, rounds,
       expected, out, report)
LAUNCH(product_bf16, 32, LIST(u32 seed, u32 rounds, const u32 *expected, u32 *out, Report *report), seed, rounds,
       expected, out, report)
LAUNCH(product_e4m3, 32, LIST(u32 seed, u32 rounds, const u32 *expected, u32 *out, Report *report), seed, rounds,
       expected, out, report)
LAUNCH(chain_fp32, 1, LIST(u32 seed, u64 count, u32 *out, Report *report), seed, count, out, report)
LAUNCH(chain_fp64, 1, LIST(u32 seed, u64 count, u64 *out, Report *report), seed, count, out, report)

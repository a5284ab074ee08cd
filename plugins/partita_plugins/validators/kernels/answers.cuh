// The known answers of validators/answers.py, bit for bit, and where wrong ones are noted.
#pragma once
#include "machine.cuh"

const u32 SIDE = 64;         // of the square matrices (PRODUCT_SIDE)
const u32 FMA_STEPS = 256;
const u32 FMA_TERM = 7;
const u32 ERRORS_KEPT = 64;
const u32 MULTIPROCESSORS_MAX = 1024;

struct Error {
    u64 place; // word of the memory, element of a product, number of a chain
    u64 got, expected;
    u64 multiprocessor;
};

// Laid out as REPORT in validators/cuda/report.py.
struct Report {
    u64 checked; // results that were compared: what did not run is not proven
    u64 errors;
    u32 multiprocessors[MULTIPROCESSORS_MAX / 32]; // a bit for each that took part
    Error kept[ERRORS_KEPT];
};

INLINE void compare(Report *report, u64 place, u64 got, u64 expected) {
    if (got == expected)
        return;
    const u64 number = add_atomically(&report->errors, 1);
    if (number < ERRORS_KEPT)
        report->kept[number] = Error{place, got, expected, multiprocessor()};
}

INLINE void took_part(Report *report, u64 checked) {
    const u32 number = multiprocessor() % MULTIPROCESSORS_MAX;
    set_atomically(&report->multiprocessors[number / 32], 1u << number % 32);
    add_atomically(&report->checked, checked);
}

// A bijection on 32 bits, and mix(0) is 0.
INLINE u32 mix(u32 i) {
    i ^= i >> 16;
    i *= 0x7FEB352Du;
    i ^= i >> 15;
    i *= 0x846CA68Bu;
    return i ^ i >> 16;
}

// What belongs into a word of the memory. The upper half of its address goes into the seed, so that words 16 GiB apart differ.
INLINE u32 unmixed(u32 seed, u64 address) { return (u32)address ^ seed ^ mix((u32)(address >> 32)); }
INLINE u32 pattern(u32 seed, u64 address) { return mix(unmixed(seed, address)); }

// A small integer, -half to half - 1; half is a power of two.
INLINE int factor(u32 seed, u32 index, u32 half) { return (int)(pattern(seed, index) & (2 * half - 1)) - (int)half; }

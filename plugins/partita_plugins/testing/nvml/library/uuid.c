/* Version-5 UUIDs (RFC 9562): SHA-1 over a name space and a name. The names here are short: one block is enough. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "rules.h"

static uint32_t turn(uint32_t word, int bits)
{
    return word << bits | word >> (32 - bits);
}

static void mix(uint32_t sum[5], int round, uint32_t word)
{
    uint32_t b = sum[1], c = sum[2], d = sum[3], mixed;
    if (round < 20)
        mixed = ((b & c) | (~b & d)) + 0x5A827999;
    else if (round < 40)
        mixed = (b ^ c ^ d) + 0x6ED9EBA1;
    else if (round < 60)
        mixed = ((b & c) | (b & d) | (c & d)) + 0x8F1BBCDC;
    else
        mixed = (b ^ c ^ d) + 0xCA62C1D6;
    uint32_t next = turn(sum[0], 5) + mixed + sum[4] + word;
    sum[4] = d;
    sum[3] = c;
    sum[2] = turn(b, 30);
    sum[1] = sum[0];
    sum[0] = next;
}

/* SHA-1 of at most 55 bytes. */
static void sha1_of_short(const uint8_t *data, size_t length, uint32_t sum[5])
{
    static const uint32_t start[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    uint8_t block[64] = {0};
    uint32_t words[80];
    memcpy(block, data, length);
    block[length] = 0x80;
    block[62] = (uint8_t)(length * 8 >> 8);
    block[63] = (uint8_t)(length * 8);
    for (int i = 0; i < 16; i++)
        words[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 | (uint32_t)block[4 * i + 2] << 8 |
                   block[4 * i + 3];
    for (int i = 16; i < 80; i++)
        words[i] = turn(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
    memcpy(sum, start, sizeof start);
    for (int i = 0; i < 80; i++)
        mix(sum, i, words[i]);
    for (int i = 0; i < 5; i++)
        sum[i] += start[i];
}

/* The 16 bytes of "GPU-xxxxxxxx-...". */
static size_t bytes_of(const char *gpu_uuid, uint8_t *bytes)
{
    size_t count = 0;
    for (const char *at = strncmp(gpu_uuid, "GPU-", 4) == 0 ? gpu_uuid + 4 : gpu_uuid; *at && count < 16;) {
        unsigned byte;
        if (*at == '-')
            at++;
        else if (sscanf(at, "%2x", &byte) == 1 && at[1])
            bytes[count++] = (uint8_t)byte, at += 2;
        else
            break;
    }
    return count;
}

void make_mig_uuid(const char *gpu_uuid, long long number, char mig_uuid[64])
{
    uint8_t name[48];
    uint32_t sum[5];
    size_t length = bytes_of(gpu_uuid, name);
    length += (size_t)snprintf((char *)name + length, sizeof name - length, "%lld", number);
    sha1_of_short(name, length, sum);
    sum[1] = (sum[1] & 0xFFFF0FFF) | 0x5000;
    sum[2] = (sum[2] & 0x3FFFFFFF) | 0x80000000;
    snprintf(mig_uuid, 64, "MIG-%08x-%04x-%04x-%04x-%04x%08x", sum[0], sum[1] >> 16, sum[1] & 0xFFFF, sum[2] >> 16,
             sum[2] & 0xFFFF, sum[3]);
}

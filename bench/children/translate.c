/*
 * The rival of address translations and searches: the same cache of translations (one place for each page number, in an
 * array), over the same page tables, and memmem over the same bytes. Answers lines "case count" with the nanoseconds that
 * one took.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { PLACES = 65536, PAGES = 16384, TEXT = 64 << 20 };

static uint64_t tags[PLACES], frames[PLACES];
static uint64_t *memory; /* guest-physical memory: the tables, from 0 on */
static uint8_t *text;
static const uint64_t base = 0xffff888000000000;

static uint64_t walk(uint64_t address) {
  uint64_t table = 0x1000;
  for (int shift = 39; shift >= 12; shift -= 9) {
    uint64_t entry = memory[(table >> 3) + ((address >> shift) & 511)];
    if (!(entry & 1)) return ~0ull;
    if ((entry & 0x80) && shift > 12 && shift < 39) {
      uint64_t mask = (1ull << shift) - 1;
      return (entry & 0xffffffffff000 & ~mask) | (address & mask);
    }
    table = entry & 0xffffffffff000;
  }
  return table | (address & 4095);
}

/* no inlining: an agent calls it from many places, and so does ours */
static __attribute__((noinline)) uint64_t translate(uint64_t address) {
  uint64_t page = address >> 12;
  uint64_t at = page & (PLACES - 1);
  if (tags[at] == page) return (frames[at] << 12) | (address & 4095);
  uint64_t physical = walk(address);
  if (physical == ~0ull) return physical;
  tags[at] = page;
  frames[at] = physical >> 12;
  return physical;
}

static void lay_out(void) {
  memory = calloc(64, 4096);
  memory[(0x1000 >> 3) + ((base >> 39) & 511)] = 0x2067;
  memory[(0x2000 >> 3) + ((base >> 30) & 511)] = 0x3067;
  for (uint64_t i = 0; i < PAGES / 512; i++) {
    memory[(0x3000 >> 3) + i] = 0x4067 + i * 4096;
    for (uint64_t j = 0; j < 512; j++) memory[((0x4000 + i * 4096) >> 3) + j] = ((i * 512 + j) << 12) | 0x67;
  }
  text = mmap(NULL, TEXT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (!memory || text == MAP_FAILED) exit(1);
  uint32_t seed = 1;
  for (size_t i = 0; i < TEXT; i++) text[i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
  memcpy(text + TEXT - 100, "the needle that is found", 24);
}

static uint64_t sum;

static void warm(long count) {
  uint32_t seed = 1;
  for (long i = 0; i < count; i++) {
    seed = seed * 1664525 + 1013904223;
    sum += translate(base + ((uint64_t)(seed >> 18) << 12) + 8);
  }
}

static void cold(long count) {
  for (long i = 0; i < count; i++) {
    if (i % PAGES == 0) memset(tags, 0, sizeof tags);
    sum += translate(base + ((uint64_t)(i % PAGES) << 12));
  }
}

static void search(long count) {
  for (long i = 0; i < count; i++) sum += (uint64_t)((uint8_t *)memmem(text, TEXT, "the needle that is found", 24) - text);
}

int main(void) {
  char what[64];
  long count;
  lay_out();
  while (scanf("%63s %ld", what, &count) == 2) {
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    if (!strcmp(what, "warm"))
      warm(count);
    else if (!strcmp(what, "cold"))
      cold(count);
    else
      search(count);
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%f\n", ((double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec)) / (double)count);
    fflush(stdout);
  }
  return sum == 42;
}

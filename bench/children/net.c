// net.c gen FILE PACKETS FLOWS: a pcap of a guest's packets with partial checksums, IMIX 7:4:1.
// net.c FILE: answers lines `nat COUNT` and `load COUNT` with the nanoseconds of processor time of a pass over FILE in memory: translating
// and completing all packets in place, or only loading the bytes.
//
// The rival of bench/net.mjs: what C with AVX2 makes of it that knows its input, and remembers no connections.

#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { kFileHeader = 24, kPacketHeader = 16, kEthernet = 14, kPool = 1 << 16 };

static uint64_t random_state = 88172645463325252ULL;

static uint32_t Random(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (uint32_t)(random_state >> 16);
}

/// Processor time: what else the machine does does not count.
static double Now(void) {
  struct timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void Put16(unsigned char *at, unsigned value) {
  at[0] = (unsigned char)(value >> 8);
  at[1] = (unsigned char)value;
}

static unsigned Fold(uint64_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return (unsigned)sum;
}

static unsigned SumWords(const unsigned char *bytes, size_t size) {
  uint64_t sum = 0;
  for (size_t i = 0; i < size; i += 2) sum += (unsigned)(bytes[i] << 8 | bytes[i + 1]);
  return Fold(sum);
}

static int Generate(const char *path, unsigned packets, unsigned flows) {
  FILE *const file = fopen(path, "wb");
  if (!file) return 1;
  static unsigned char pool[kPool];
  for (size_t i = 0; i < sizeof pool; i++) pool[i] = (unsigned char)Random();
  const uint32_t header[6] = {0xa1b2c3d4, 0x00040002, 0, 0, 65535, 1};
  fwrite(header, sizeof header, 1, file);
  for (unsigned i = 0; i < packets; i++) {
    unsigned char frame[1600] = "\x00\x16\x3e\x00\x00\x01\x00\x16\x3e\x00\x00\x02\x08\x00";
    unsigned char *const ip = frame + kEthernet;
    const unsigned kind = Random() % 12;
    const unsigned flow = Random() % flows;
    const int tcp = flow % 4 != 0;
    const unsigned l4_header = tcp ? 20 : 8;
    unsigned size = kind < 7 ? 40 + Random() % 25 : kind < 11 ? 576 - Random() % 64 : 1500 - Random() % 8;
    if (size < 20 + l4_header) size = 20 + l4_header;
    ip[0] = 0x45;
    Put16(ip + 2, size);
    Put16(ip + 4, i & 0xffff);
    ip[6] = 0x40;
    ip[8] = 64;
    ip[9] = tcp ? 6 : 17;
    memcpy(ip + 12, "\x0a\x00\x01\x02\xc0\x00\x02\x02", 8);
    ip[15] = (unsigned char)(2 + flow % 200);
    ip[19] = (unsigned char)(2 + flow / 200 % 200);
    Put16(ip + 10, ~SumWords(ip, 20) & 0xffff);
    unsigned char *const l4 = ip + 20;
    Put16(l4, 1024 + flow * 7 % 60000);
    Put16(l4 + 2, flow & 1 ? 443 : 53);
    if (tcp) {
      l4[12] = 0x50;
      l4[13] = 0x18;
      Put16(l4 + 14, 64240);
    } else {
      Put16(l4 + 4, size - 20);
    }
    memcpy(l4 + l4_header, pool + Random() % (kPool - 1500), size - 20 - l4_header);
    Put16(l4 + (tcp ? 16 : 6), Fold(SumWords(ip + 12, 8) + (uint64_t)ip[9] + size - 20));
    const uint32_t record[4] = {1700000000 + i / 100000, i % 100000 * 10, kEthernet + size, kEthernet + size};
    fwrite(record, sizeof record, 1, file);
    fwrite(frame, kEthernet + size, 1, file);
  }
  return fclose(file) == 0 ? 0 : 1;
}

static unsigned char *ReadAll(const char *path, size_t *size) {
  FILE *const file = fopen(path, "rb");
  if (!file) return NULL;
  fseek(file, 0, SEEK_END);
  *size = (size_t)ftell(file);
  rewind(file);
  unsigned char *const bytes = aligned_alloc(4096, (*size + 8191) / 4096 * 4096);
  if (bytes && fread(bytes, 1, *size, file) != *size) return NULL;
  fclose(file);
  return bytes;
}

__attribute__((target("avx2"))) static uint64_t SumAvx2(const unsigned char *bytes, size_t size) {
  uint64_t sum = 0;
  size_t i = 0;
  if (size >= 32) {
    const __m256i zero = _mm256_setzero_si256();
    __m256i a = zero, b = zero, c = zero, d = zero;
    for (; i + 64 <= size; i += 64) {
      const __m256i x = _mm256_loadu_si256((const __m256i *)(bytes + i));
      const __m256i y = _mm256_loadu_si256((const __m256i *)(bytes + i + 32));
      a = _mm256_add_epi64(a, _mm256_unpacklo_epi32(x, zero));
      b = _mm256_add_epi64(b, _mm256_unpackhi_epi32(x, zero));
      c = _mm256_add_epi64(c, _mm256_unpacklo_epi32(y, zero));
      d = _mm256_add_epi64(d, _mm256_unpackhi_epi32(y, zero));
    }
    if (i + 32 <= size) {
      const __m256i x = _mm256_loadu_si256((const __m256i *)(bytes + i));
      a = _mm256_add_epi64(a, _mm256_unpacklo_epi32(x, zero));
      b = _mm256_add_epi64(b, _mm256_unpackhi_epi32(x, zero));
      i += 32;
    }
    a = _mm256_add_epi64(_mm256_add_epi64(a, b), _mm256_add_epi64(c, d));
    uint64_t lanes[4];
    _mm256_storeu_si256((__m256i *)lanes, a);
    for (int k = 0; k < 4; k++) sum += (lanes[k] & 0xffffffff) + (lanes[k] >> 32);
  }
  for (; i + 4 <= size; i += 4) {
    uint32_t word;
    memcpy(&word, bytes + i, 4);
    sum += word;
  }
  for (; i + 2 <= size; i += 2) {
    uint16_t word;
    memcpy(&word, bytes + i, 2);
    sum += word;
  }
  return i < size ? sum + bytes[i] : sum;
}

/// Words as the machine reads them: the order does not matter to one's complement.
static unsigned Update(unsigned check, uint32_t from, uint32_t to) {
  return ~Fold((uint64_t)(~check & 0xffff) + (uint32_t)~from + to) & 0xffff;
}

static unsigned TranslateAll(unsigned char *bytes, size_t size) {
  uint32_t address;
  memcpy(&address, "\xc0\x00\x02\x01", 4);
  unsigned packets = 0;
  for (size_t at = kFileHeader; at + kPacketHeader <= size; packets++) {
    uint32_t length;
    memcpy(&length, bytes + at + 8, 4);
    unsigned char *const ip = bytes + at + kPacketHeader + kEthernet;
    at += kPacketHeader + length;
    const unsigned header = (ip[0] & 15) * 4;
    const unsigned total = ip[2] << 8 | ip[3];
    unsigned char *const l4 = ip + header;
    unsigned char *const field = l4 + (ip[9] == 6 ? 16 : 6);
    uint32_t old;
    uint16_t check;
    memcpy(&old, ip + 12, 4);
    memcpy(&check, field, 2);
    check = (uint16_t)Fold((uint64_t)check + (uint32_t)~old + address);
    memcpy(field, &check, 2);
    memcpy(&check, ip + 10, 2);
    check = (uint16_t)Update(check, old, address);
    memcpy(ip + 10, &check, 2);
    memcpy(ip + 12, &address, 4);
    l4[1] ^= 7;
    check = (uint16_t)~Fold(SumAvx2(l4, total - header));
    if (check == 0) check = 0xffff;
    memcpy(field, &check, 2);
  }
  return packets;
}

__attribute__((target("avx2"), noinline)) static uint64_t LoadAll(const unsigned char *bytes, size_t size) {
  __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
  for (size_t i = 0; i + 128 <= size; i += 128) {
    a = _mm256_or_si256(a, _mm256_loadu_si256((const __m256i *)(bytes + i)));
    b = _mm256_or_si256(b, _mm256_loadu_si256((const __m256i *)(bytes + i + 32)));
    c = _mm256_or_si256(c, _mm256_loadu_si256((const __m256i *)(bytes + i + 64)));
    d = _mm256_or_si256(d, _mm256_loadu_si256((const __m256i *)(bytes + i + 96)));
  }
  a = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
  return (uint64_t)_mm256_extract_epi64(a, 0) | (uint64_t)_mm256_extract_epi64(a, 3);
}

int main(int argc, char **argv) {
  if (argc == 5 && strcmp(argv[1], "gen") == 0) {
    return Generate(argv[2], (unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]));
  }
  if (argc != 2) return 2;
  size_t size = 0;
  unsigned char *const bytes = ReadAll(argv[1], &size);
  unsigned char *const copy = aligned_alloc(4096, (size + 8191) / 4096 * 4096);
  if (!bytes || !copy) return 1;
  memset(copy, 1, size);
  char what[16];
  volatile uint64_t sink = 0;
  for (int count; scanf("%15s %d", what, &count) == 2;) {
    double seconds = 0;
    for (int i = 0; i < count; i++) {
      const int translate = strcmp(what, "nat") == 0;
      if (translate) memcpy(copy, bytes, size);
      const double start = Now();
      sink += translate ? TranslateAll(copy, size) : LoadAll(bytes, size);
      seconds += Now() - start;
    }
    printf("%.0f\n", seconds / count * 1e9);
    fflush(stdout);
  }
  return 0;
}

// The addon's napi-free code on a kernel with a clock of its own: what no test can wait for. Exits with 0 when all
// holds.

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "../../native/id_table.h"
#include "fake_kernel.h"

namespace {

#define CHECK(condition)                                                                 \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      std::fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
      std::exit(1);                                                                      \
    }                                                                                    \
  } while (0)

using xenctrl::IdTable;
using xenctrl::Memory;
using xenctrl::MmapBatchV2;
using xenctrl::Ref;

const uint64_t kGfns[] = {10, 11, 12, 13, 14, 15};
constexpr size_t kCount = 6;

void PagesThatStayPagedOutKeepTheirErrorAfterAMinute() {
  const auto device = FakeDevice(1);
  unsigned requests = 0;
  fake_kernel.now = 0;
  fake_kernel.ioctl = [&](unsigned long, void *argument) {
    const auto *batch = static_cast<MmapBatchV2 *>(argument);
    for (uint32_t i = 0; i < batch->count; i++) batch->errors[i] = batch->gfns[i] == 12 ? -ENOENT : 0;
    requests++;
    return -static_cast<long>(ENOENT);
  };
  int32_t errors[kCount];
  Ref<Memory> mapping;
  CHECK(device->MapForeign(1, kGfns, kCount, PROT_READ, errors, &mapping) == 0);
  CHECK(mapping && mapping->size() == kCount * xenctrl::kPageSize);
  CHECK(errors[1] == 0 && errors[2] == -ENOENT && errors[3] == 0);
  CHECK(fake_kernel.now >= 60 * 1000000 && fake_kernel.now < 61 * 1000000);
  CHECK(requests > 100 && requests < 1000);  // patient, but not a busy loop
}

void OnlyRunsOfPagesThatArePagedOutAreAskedForAgain() {
  const auto device = FakeDevice(1);
  std::vector<std::vector<uint64_t>> asked;
  uint64_t start = 0;
  fake_kernel.ioctl = [&](unsigned long, void *argument) {
    const auto *batch = static_cast<MmapBatchV2 *>(argument);
    const bool first = asked.empty();
    if (first) start = batch->address;
    CHECK(batch->address - start == (batch->gfns[0] - 10) * xenctrl::kPageSize);
    asked.emplace_back(batch->gfns, batch->gfns + batch->count);
    for (uint32_t i = 0; i < batch->count; i++) {
      const uint64_t gfn = batch->gfns[i];
      batch->errors[i] = first && gfn != 12 ? -ENOENT : gfn == 12 ? -EINVAL : 0;
    }
    return first ? -static_cast<long>(ENOENT) : 0;
  };
  int32_t errors[kCount];
  Ref<Memory> mapping;
  CHECK(device->MapForeign(1, kGfns, kCount, PROT_READ, errors, &mapping) == 0);
  CHECK((asked == std::vector<std::vector<uint64_t>>{{10, 11, 12, 13, 14, 15}, {10, 11}, {13, 14, 15}}));
  CHECK(errors[0] == 0 && errors[2] == -EINVAL && errors[5] == 0);
}

void ARunThatIsRefusedGetsTheRefusalAsItsError() {
  const auto device = FakeDevice(1);
  unsigned requests = 0;
  fake_kernel.ioctl = [&](unsigned long, void *argument) {
    const auto *batch = static_cast<MmapBatchV2 *>(argument);
    if (requests++ > 0) return -static_cast<long>(EFAULT);
    for (uint32_t i = 0; i < batch->count; i++) batch->errors[i] = i == 3 ? -ENOENT : 0;
    return -static_cast<long>(ENOENT);
  };
  int32_t errors[kCount];
  Ref<Memory> mapping;
  CHECK(device->MapForeign(1, kGfns, kCount, PROT_READ, errors, &mapping) == 0);
  CHECK(errors[3] == -EFAULT && errors[4] == 0 && requests == 2);
}

void ARefusedMappingLeavesNothing() {
  const auto device = FakeDevice(1);
  fake_kernel.ioctl = [](unsigned long, void *) { return -static_cast<long>(EPERM); };
  int32_t errors[kCount];
  Ref<Memory> mapping;
  CHECK(device->MapForeign(1, kGfns, kCount, PROT_READ, errors, &mapping) == -EPERM);
  CHECK(!mapping);
}

void AnIdNamesOneThingOnly() {
  IdTable<int> table;
  int value = 0;
  const uint64_t first = table.Insert(7);
  CHECK(table.Take(first, &value) && value == 7);
  for (int round = 0; round < 100000; round++) {
    const uint64_t id = table.Insert(round);
    CHECK(id != first && !table.Take(first, &value));
    CHECK(table.Take(id, &value) && value == round && !table.Take(id, &value));
  }
  while (!table.full()) table.Insert(1);
  CHECK(table.size() == IdTable<int>::kCapacity);
  size_t seen = 0;
  table.TakeAll([&](int one) { seen += static_cast<size_t>(one); });
  CHECK(seen == IdTable<int>::kCapacity && table.size() == 0);
}

}  // namespace

int main() {
  PagesThatStayPagedOutKeepTheirErrorAfterAMinute();
  OnlyRunsOfPagesThatArePagedOutAreAskedForAgain();
  ARunThatIsRefusedGetsTheRefusalAsItsError();
  ARefusedMappingLeavesNothing();
  AnIdNamesOneThingOnly();
  return 0;
}

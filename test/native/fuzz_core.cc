// libFuzzer target for the addon's napi-free code: any numbers from outside, any answers of the kernel.

#include <fuzzer/FuzzedDataProvider.h>

#include <cerrno>
#include <cstdlib>
#include <map>
#include <vector>

#include "../../native/id_table.h"
#include "fake_kernel.h"

namespace {

using xenctrl::DmOp;
using xenctrl::DmOpBuffer;
using xenctrl::IdTable;
using xenctrl::kPageSize;
using xenctrl::Memory;
using xenctrl::MmapBatchV2;
using xenctrl::MmapResource;
using xenctrl::Privcmd;
using xenctrl::Ref;
using xenctrl::Slot;

void Require(bool condition) {
  if (!condition) abort();
}

/// A number near where it matters, or any.
uint64_t Number(FuzzedDataProvider &data, uint64_t limit) {
  return data.ConsumeBool() ? data.ConsumeIntegralInRange<uint64_t>(0, limit) : data.ConsumeIntegral<uint64_t>();
}

class Round {
 public:
  Round(const uint8_t *bytes, size_t size) : data_(bytes, size), device_(FakeDevice(1)) {
    fake_kernel.now = 0;
    fake_kernel.ioctl = [this](unsigned long request, void *argument) { return Answer(request, argument); };
  }

  void Run() {
    while (data_.remaining_bytes() > 0) {
      switch (data_.ConsumeIntegralInRange(0, 7)) {
        case 0:
          Batch();
          break;
        case 1:
          ReadSlot();
          break;
        case 2:
          MapForeign();
          break;
        case 3:
          device_->Hypercall();
          break;
        case 4:
          Insert();
          break;
        case 5:
          MapResource();
          break;
        case 6:
          DeviceModelOp();
          break;
        default:
          Take();
      }
    }
  }

 private:
  uintptr_t arena() const { return device_->arena()->address(); }

  long Answer(unsigned long request, void *argument) {
    if (request == xenctrl::kIoctlHypercall) return HypercallAnswer(reinterpret_cast<uintptr_t>(argument));
    if (request == xenctrl::kIoctlMmapResource) return ResourceAnswer(static_cast<MmapResource *>(argument));
    if (request == xenctrl::kIoctlDmOp) return DeviceModelAnswer(static_cast<DmOp *>(argument));
    return BatchAnswer(static_cast<MmapBatchV2 *>(argument));
  }

  long AnyAnswer() { return data_.ConsumeBool() ? 0 : -data_.ConsumeIntegralInRange<long>(1, 40); }

  long ResourceAnswer(MmapResource *request) {
    Require((request->address == 0) == (request->count == 0) && request->address % kPageSize == 0);
    for (uint64_t i = 0; i < request->count; i++) {
      (void)*reinterpret_cast<volatile char *>(request->address + i * kPageSize);  // the pages are there
    }
    if (request->address == 0) request->count = data_.ConsumeIntegralInRange<uint64_t>(0, 1000);
    return AnyAnswer();
  }

  long DeviceModelAnswer(const DmOp *request) {
    Require(request->count <= 16);
    for (int i = 0; i < request->count; i++) Require(request->buffers[i].size <= 4096);
    issued_++;
    return AnyAnswer();
  }

  long HypercallAnswer(uintptr_t slot) {
    Require(slot >= arena() && slot + sizeof(Slot) <= arena() + kPageSize && slot % alignof(Slot) == 0);
    issued_++;
    return data_.ConsumeIntegral<long>();
  }

  long BatchAnswer(const MmapBatchV2 *batch) {
    Require(batch->count > 0 && batch->address % kPageSize == 0);
    Require(batch->gfns >= gfns_.data() && batch->gfns + batch->count <= gfns_.data() + gfns_.size());
    Require(batch->errors - errors_.data() == batch->gfns - gfns_.data());
    if (data_.ConsumeIntegralInRange(0, 7) == 0) return -data_.ConsumeIntegralInRange<long>(1, 40);
    long answer = 0;
    for (uint32_t i = 0; i < batch->count; i++) {
      batch->errors[i] = data_.PickValueInArray({0, 0, -EINVAL, -ENOENT});
      if (batch->errors[i] == -ENOENT) answer = -ENOENT;
      auto *page = reinterpret_cast<volatile char *>(batch->address + i * kPageSize);
      (void)*page;  // the pages are there
    }
    return answer;
  }

  void Batch() {
    const uint64_t offset = Number(data_, kPageSize + 64);
    const uint64_t count = Number(data_, kPageSize / sizeof(Slot) + 2);
    const bool fits = offset % 8 == 0 && offset <= kPageSize && count <= (kPageSize - offset) / sizeof(Slot);
    issued_ = 0;
    Require(device_->Batch(offset, count) == (fits ? 0 : -EINVAL));
    Require(issued_ == (fits ? count : 0));
  }

  void ReadSlot() {
    Slot slot{};
    const uint64_t offset = Number(data_, kPageSize + 64);
    const bool fits = offset % 8 == 0 && offset <= kPageSize - sizeof(Slot);
    Require(device_->ReadSlot(offset, &slot) == (fits ? 0 : -EINVAL));
  }

  void MapForeign() {
    gfns_.assign(data_.ConsumeIntegralInRange<size_t>(0, 40), 1);
    errors_.assign(gfns_.size(), 1);
    Ref<Memory> mapping;
    const uint64_t before = fake_kernel.now;
    const int rc = device_->MapForeign(data_.ConsumeIntegral<uint16_t>(), gfns_.data(), gfns_.size(),
                                       data_.ConsumeIntegralInRange(-1, 8), errors_.data(), &mapping);
    Require(rc <= 0 && (rc == 0) == static_cast<bool>(mapping));
    Require(fake_kernel.now - before < 61 * 1000000);
    if (rc == 0) {
      for (const int32_t error : errors_) Require(error <= 0);
    }
  }

  void MapResource() {
    Ref<Memory> mapping;
    const size_t count = data_.ConsumeIntegralInRange<size_t>(0, 40);
    const int rc =
        device_->MapResource(data_.ConsumeIntegral<uint16_t>(), data_.ConsumeIntegral<uint32_t>(), 0,
                             data_.ConsumeIntegral<uint32_t>(), count, data_.ConsumeIntegralInRange(-1, 8), &mapping);
    Require(rc <= 0 && (rc == 0) == static_cast<bool>(mapping));
    if (rc == 0) Require(mapping->size() == count * kPageSize);
    const int64_t size = device_->ResourceSize(1, data_.ConsumeIntegral<uint32_t>(), 0);
    Require(size >= -40 && size <= 1000);
  }

  void DeviceModelOp() {
    static char bytes[5000];
    std::vector<DmOpBuffer> buffers(data_.ConsumeIntegralInRange<size_t>(0, 20));
    bool fits = buffers.size() <= Privcmd::kMaxDmBuffers;
    for (DmOpBuffer &buffer : buffers) {
      buffer = {bytes, data_.ConsumeIntegralInRange<size_t>(0, sizeof(bytes))};
      fits = fits && buffer.size <= Privcmd::kMaxDmBufferSize;
    }
    issued_ = 0;
    const int rc = device_->DeviceModelOp(1, buffers.data(), buffers.size());
    Require(fits ? rc <= 0 && issued_ == 1 : rc == -E2BIG && issued_ == 0);
  }

  void Insert() {
    if (table_.full()) return;
    const int value = data_.ConsumeIntegral<int>();
    const uint64_t id = table_.Insert(value);
    Require(known_.emplace(id, value).second);
    ids_.push_back(id);
  }

  void Take() {
    int value = 0;
    const bool old = !ids_.empty() && data_.ConsumeBool();
    const uint64_t id = old ? data_.PickValueInArray({ids_.front(), ids_.back(), ids_[ids_.size() / 2]})
                            : data_.ConsumeIntegral<uint64_t>();
    const auto found = known_.find(id);
    Require(table_.Take(id, &value) == (found != known_.end()));
    if (found != known_.end()) {
      Require(value == found->second);
      known_.erase(found);
    }
    Require(table_.size() == known_.size());
  }

  FuzzedDataProvider data_;
  Ref<Privcmd> device_;
  uint64_t issued_ = 0;
  std::vector<uint64_t> gfns_;
  std::vector<int32_t> errors_;
  IdTable<int> table_;
  std::map<uint64_t, int> known_;
  std::vector<uint64_t> ids_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  Round(bytes, size).Run();
  return 0;
}

// libFuzzer target for ESP's ciphers: any keys, any packets, in memory that is not a byte longer than it must be.

#include <dlfcn.h>
#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "../../native/esp.h"

namespace {

using xenctrl::Esp;
using xenctrl::Libcrypto;
using Bytes = std::vector<uint8_t>;

void Require(bool condition) {
  if (!condition) abort();
}

const Libcrypto *Crypto() {
  // Node has it in its executable, or is linked with it
  static const bool loaded =
      dlopen("libcrypto.so.3", RTLD_NOW | RTLD_GLOBAL) != nullptr || dlopen("libcrypto.so.1.1", RTLD_NOW | RTLD_GLOBAL);
  Require(loaded);
  return Libcrypto::Find();
}

Bytes Random(FuzzedDataProvider &data, size_t length) {
  Bytes bytes = data.ConsumeBytes<uint8_t>(length);
  bytes.resize(length, 0xa5);
  return bytes;
}

/// Keys that mostly can be.
struct Keys {
  explicit Keys(FuzzedDataProvider &data)
      : gcm(data.ConsumeBool()),
        key(Random(data, data.PickValueInArray<size_t>({16, 24, 32, 16, 24, 32, 0, 17}))),
        second(Random(data,
                      data.PickValueInArray<size_t>({gcm ? size_t{4} : size_t{32}, gcm ? size_t{4} : size_t{32}, 5}))),
        icv_length(gcm ? data.PickValueInArray<size_t>({16, 12, 8, 16, 10}) : 16),
        esn(data.ConsumeBool()) {}

  bool Valid() const {
    return (key.size() == 16 || key.size() == 24 || key.size() == 32) && second.size() == (gcm ? 4 : 32) &&
           (!gcm || icv_length != 10);
  }

  std::unique_ptr<Esp> New(bool sealing) const {
    const Esp::Key parts{gcm ? Esp::kAesGcm : Esp::kAesCbcHmacSha256,
                         key.data(),
                         key.size(),
                         second.data(),
                         second.size(),
                         icv_length,
                         esn};
    int error = 0;
    std::unique_ptr<Esp> esp(Esp::New(Crypto(), parts, sealing, &error));
    Require(esp ? Valid() : !Valid() && error == -EINVAL);
    return esp;
  }

  size_t iv_length() const { return gcm ? 8 : 16; }

  bool gcm;
  Bytes key;
  Bytes second;
  size_t icv_length;
  bool esn;
};

bool AllZero(const Bytes &bytes, size_t length) {
  for (size_t i = 0; i < length; i++) {
    if (bytes[i] != 0) return false;
  }
  return true;
}

/// Whatever comes in from outside.
void OpenAnything(FuzzedDataProvider &data, Esp *opener) {
  const Bytes packet = Random(data, data.ConsumeIntegralInRange<size_t>(0, 200));
  Bytes out(data.ConsumeIntegralInRange<size_t>(0, 200));
  const int64_t rc =
      opener->Open(packet.data(), packet.size(), data.ConsumeIntegral<uint32_t>(), out.data(), out.size());
  Require(rc == -EINVAL || rc == -ENOSPC || rc == -EBADMSG);
  Require(AllZero(out, out.size()));
}

/// What was sealed opens; changed in any way it does not, and leaves nothing behind.
void SealAndOpen(FuzzedDataProvider &data, const Keys &keys, Esp *sealer, Esp *opener) {
  const uint32_t high = data.ConsumeIntegral<uint32_t>();
  const Bytes packet = Random(data, data.ConsumeIntegralInRange<size_t>(0, 200));
  Bytes sealed = packet;
  const int rc = sealer->Seal(sealed.data(), sealed.size(), high);
  if (rc != 0) {
    Require(rc == -EINVAL && sealed == packet);
    return;
  }
  const size_t payload = packet.size() - Esp::kHeader - keys.iv_length() - keys.icv_length;
  Bytes out(payload);
  Require(opener->Open(sealed.data(), sealed.size(), high, out.data(), out.size()) == static_cast<int64_t>(payload));
  Require(memcmp(out.data(), packet.data() + Esp::kHeader + keys.iv_length(), payload) == 0);

  Bytes changed = sealed;
  uint32_t other_high = high;
  switch (data.ConsumeIntegralInRange(0, 2)) {
    case 0:
      changed[data.ConsumeIntegralInRange<size_t>(0, changed.size() - 1)] ^=
          data.ConsumeIntegralInRange<uint8_t>(1, 255);
      break;
    case 1:
      changed.resize(data.ConsumeIntegralInRange<size_t>(0, changed.size() - 1));
      changed.shrink_to_fit();
      break;
    default:
      if (!keys.esn) return;
      other_high ^= 1U << data.ConsumeIntegralInRange(0, 31);
  }
  Bytes nothing(payload);
  const int64_t opened = opener->Open(changed.data(), changed.size(), other_high, nothing.data(), nothing.size());
  Require(opened == -EBADMSG || (opened == -EINVAL && changed.size() < sealed.size()));
  Require(AllZero(nothing, payload));

  // in place
  uint8_t *const text = sealed.data() + Esp::kHeader + keys.iv_length();
  Require(opener->Open(sealed.data(), sealed.size(), high, text, payload) == static_cast<int64_t>(payload));
  Require(memcmp(text, out.data(), payload) == 0);
}

/// A payload anywhere, also across what is made of it.
void Encapsulate(FuzzedDataProvider &data, const Keys &keys, Esp *sealer, Esp *opener) {
  const Bytes head = Random(data, data.ConsumeIntegralInRange<size_t>(0, 80));
  const Bytes payload = Random(data, data.ConsumeIntegralInRange<size_t>(0, 100));
  const bool inside = data.ConsumeBool();
  Bytes out(data.ConsumeIntegralInRange<size_t>(inside ? payload.size() : 0, 300));
  const size_t at = inside ? data.ConsumeIntegralInRange<size_t>(0, out.size() - payload.size()) : 0;
  if (inside && !payload.empty()) memcpy(out.data() + at, payload.data(), payload.size());
  const uint32_t high = data.ConsumeIntegral<uint32_t>();
  const int64_t total = sealer->Encapsulate(head.data(), head.size(), inside ? out.data() + at : payload.data(),
                                            payload.size(), 4, high, out.data(), out.size());
  if (total < 0) {
    Require(total == (head.size() < Esp::kHeader + keys.iv_length() ? -EINVAL : -ENOSPC));
    return;
  }
  Require(static_cast<size_t>(total) <= out.size() && memcmp(out.data(), head.data(), head.size()) == 0);
  const size_t esp = head.size() - Esp::kHeader - keys.iv_length();
  Bytes back(out.size());
  const int64_t plaintext =
      opener->Open(out.data() + esp, static_cast<size_t>(total) - esp, high, back.data(), back.size());
  Require(plaintext >= static_cast<int64_t>(payload.size()) + 2 && back[static_cast<size_t>(plaintext) - 1] == 4);
  Require(std::equal(payload.begin(), payload.end(), back.begin()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  FuzzedDataProvider data(bytes, size);
  const Keys keys(data);
  const auto sealer = keys.New(true);
  const auto opener = keys.New(false);
  if (!sealer || !opener) return 0;
  for (int rounds = 0; rounds < 8 && data.remaining_bytes() > 0; rounds++) {
    switch (data.ConsumeIntegralInRange(0, 2)) {
      case 0:
        OpenAnything(data, opener.get());
        break;
      case 1:
        SealAndOpen(data, keys, sealer.get(), opener.get());
        break;
      default:
        Encapsulate(data, keys, sealer.get(), opener.get());
    }
  }
  return 0;
}

// The surface of what is done to packets. Raw Node-API: short packets come one a call.

#include <cerrno>

#include "binding.h"
#include "checksum.h"
#include "packet.h"

namespace xenctrl {
namespace {

/// The bytes of a typed array of this type; null when it is none. `count` is of its elements.
void *ArrayOf(napi_env env, napi_value value, napi_typedarray_type type, size_t *count) {
  napi_typedarray_type actual = napi_int8_array;
  void *data = nullptr;
  if (napi_get_typedarray_info(env, value, &actual, count, &data, nullptr, nullptr) != napi_ok) return nullptr;
  // an empty array may have no address; all who ask check the count
  static uint32_t nothing = 0;
  if (actual != type) return nullptr;
  return data ? data : &nothing;
}

napi_value Number(napi_env env, int64_t number) {
  napi_value result = nullptr;
  napi_create_int64(env, number, &result);
  return result;
}

bool Within(int64_t offset, int64_t length, size_t size) {
  return offset >= 0 && length >= 0 && static_cast<uint64_t>(offset) <= size &&
         static_cast<uint64_t>(length) <= size - static_cast<uint64_t>(offset);
}

}  // namespace

/// checksumSum(bytes, offset, length, initial)
napi_value NetChecksumSum(napi_env env, napi_callback_info info) {
  size_t argc = 4;
  napi_value argv[4];
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  size_t size = 0;
  int64_t offset = 0;
  int64_t length = 0;
  uint32_t initial = 0;
  const auto *const bytes = static_cast<const uint8_t *>(ArrayOf(env, argv[0], napi_uint8_array, &size));
  if (!bytes || napi_get_value_int64(env, argv[1], &offset) != napi_ok ||
      napi_get_value_int64(env, argv[2], &length) != napi_ok ||
      napi_get_value_uint32(env, argv[3], &initial) != napi_ok || !Within(offset, length, size)) {
    return Number(env, -EINVAL);
  }
  return Number(env, ChecksumSum(bytes + offset, static_cast<size_t>(length), initial));
}

/// classifyPackets(bytes, places, count, finish, states, verdicts)
napi_value NetClassifyPackets(napi_env env, napi_callback_info info) {
  size_t argc = 6;
  napi_value argv[6];
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  size_t size = 0;
  size_t place_words = 0;
  size_t state_count = 0;
  size_t verdict_count = 0;
  uint32_t count = 0;
  bool finish = false;
  auto *const bytes = static_cast<uint8_t *>(ArrayOf(env, argv[0], napi_uint8_array, &size));
  const auto *const places = static_cast<const PacketPlace *>(ArrayOf(env, argv[1], napi_uint32_array, &place_words));
  auto *const states = static_cast<uint8_t *>(ArrayOf(env, argv[4], napi_uint8_array, &state_count));
  auto *const verdicts = static_cast<uint32_t *>(ArrayOf(env, argv[5], napi_uint32_array, &verdict_count));
  if (!bytes || !places || !states || !verdicts || napi_get_value_uint32(env, argv[2], &count) != napi_ok ||
      napi_get_value_bool(env, argv[3], &finish) != napi_ok || place_words / 3 < count || state_count < count ||
      verdict_count < static_cast<size_t>(Verdict::kCount)) {
    return Number(env, -EINVAL);
  }
  return Number(env, ClassifyPackets(bytes, size, places, count, finish, states, verdicts));
}

}  // namespace xenctrl

// The surface of the address translation.

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "binding.h"
#include "nat.h"

namespace xenctrl {
namespace {

class NatHandle final : public Handle {
 public:
  NatHandle(Environment *environment, std::unique_ptr<Nat> nat) : Handle(environment), nat_(std::move(nat)) {}

  /// Null once the handle is closed.
  Nat *nat() const { return nat_.get(); }

  void Close(napi_env /*env*/) override { nat_.reset(); }
  void Abandon(napi_env env) override { Close(env); }

 private:
  std::unique_ptr<Nat> nat_;
};

constexpr size_t kCounters = sizeof(NatCounters) / sizeof(double);

/// translate(bytes, places, seconds, count, states, outcomes, counters)
Napi::Value Translate(const Napi::CallbackInfo &info) {
  Nat *const nat = HandleOf<NatHandle>(info)->nat();
  if (!nat) return Result(info, -EBADF);
  size_t length = 0;
  size_t place_words = 0;
  size_t second_count = 0;
  size_t state_count = 0;
  size_t outcome_count = 0;
  size_t counter_count = 0;
  uint32_t count = 0;
  auto *const bytes = Elements<uint8_t>(info[0], napi_uint8_array, &length);
  const auto *const places = Elements<uint32_t>(info[1], napi_uint32_array, &place_words);
  const auto *const seconds = Elements<double>(info[2], napi_float64_array, &second_count);
  auto *const states = Elements<uint8_t>(info[4], napi_uint8_array, &state_count);
  auto *const outcomes = Elements<uint8_t>(info[5], napi_uint8_array, &outcome_count);
  auto *const numbers = Elements<double>(info[6], napi_float64_array, &counter_count);
  if (!bytes || !places || !seconds || !states || !outcomes || !numbers || !ReadUnsigned(info[3], &count)) {
    return Result(info, -EINVAL);
  }
  if (place_words / 3 < count || std::min({second_count, state_count, outcome_count}) < count ||
      counter_count != kCounters) {
    return Result(info, -EINVAL);
  }
  const auto *const packets = reinterpret_cast<const PacketPlace *>(places);
  auto *const counters = reinterpret_cast<NatCounters *>(numbers);
  return Result(info, nat->Translate(bytes, length, packets, seconds, count, states, outcomes, counters));
}

/// translatePcap(bytes, records, places, seconds, nanoseconds, states, outcomes, counters); records are the place of
/// the first and the end, link type, swapped, tick. The place becomes that of the first that was not translated.
Napi::Value TranslatePcap(const Napi::CallbackInfo &info) {
  Nat *const nat = HandleOf<NatHandle>(info)->nat();
  if (!nat) return Result(info, -EBADF);
  constexpr size_t kRecordWords = 5;
  size_t length = 0;
  size_t record_words = 0;
  size_t place_words = 0;
  size_t second_count = 0;
  size_t nanosecond_count = 0;
  size_t state_count = 0;
  size_t outcome_count = 0;
  size_t counter_count = 0;
  auto *const bytes = Elements<uint8_t>(info[0], napi_uint8_array, &length);
  auto *const words = Elements<uint32_t>(info[1], napi_uint32_array, &record_words);
  auto *const places = Elements<uint32_t>(info[2], napi_uint32_array, &place_words);
  auto *const seconds = Elements<double>(info[3], napi_float64_array, &second_count);
  auto *const nanoseconds = Elements<uint32_t>(info[4], napi_uint32_array, &nanosecond_count);
  auto *const states = Elements<uint8_t>(info[5], napi_uint8_array, &state_count);
  auto *const outcomes = Elements<uint8_t>(info[6], napi_uint8_array, &outcome_count);
  auto *const numbers = Elements<double>(info[7], napi_float64_array, &counter_count);
  if (!bytes || !words || !places || !seconds || !nanoseconds || !states || !outcomes || !numbers ||
      record_words != kRecordWords || words[1] > length || counter_count != kCounters) {
    return Result(info, -EINVAL);
  }
  const size_t capacity = std::min({place_words / 3, second_count, nanosecond_count, state_count, outcome_count});
  PcapRecords records{words[0], words[2], words[3] != 0, words[4]};
  auto *const found = reinterpret_cast<PacketPlace *>(places);
  auto *const counters = reinterpret_cast<NatCounters *>(numbers);
  const size_t count =
      nat->TranslatePcap(bytes, words[1], &records, capacity, found, seconds, nanoseconds, states, outcomes, counters);
  words[0] = static_cast<uint32_t>(records.at);
  return Result(info, static_cast<double>(count));
}

/// connections()
Napi::Value Connections(const Napi::CallbackInfo &info) {
  const Nat *const nat = HandleOf<NatHandle>(info)->nat();
  return Result(info, nat ? static_cast<double>(nat->connections()) : -EBADF);
}

bool RulesAreGood(const std::vector<NatRule> &rules) {
  return std::all_of(rules.begin(), rules.end(), [](const NatRule &rule) {
    const unsigned bits = rule.version == 4 ? 32 : 128;
    return (rule.kind == kSourceNat || rule.kind == kDestinationNat) && (rule.version == 4 || rule.version == 6) &&
           rule.source_bits <= bits && rule.destination_bits <= bits && Read16(rule.to_min) <= Read16(rule.to_max);
  });
}

bool OptionsAreGood(const NatOptions &options) {
  if (!(options.seed >= 0 && options.seed <= UINT32_MAX)) return false;
  if (!(options.max_connections >= 1 && options.max_connections <= Conntrack::kMaxLimit)) return false;
  return std::all_of(std::begin(options.timeouts), std::end(options.timeouts),
                     [](double seconds) { return seconds >= 0 && std::isfinite(seconds); });
}

}  // namespace

/// openNat(rules, options): the handle's object, or a negative errno.
Napi::Value OpenNat(const Napi::CallbackInfo &info) {
  const Napi::Env env = info.Env();
  size_t rule_bytes = 0;
  size_t option_count = 0;
  const auto *const rule_data = Elements<uint8_t>(info[0], napi_uint8_array, &rule_bytes);
  const auto *const option_data = Elements<double>(info[1], napi_float64_array, &option_count);
  const size_t count = rule_bytes / sizeof(NatRule);
  if (!rule_data || !option_data || option_count * sizeof(double) != sizeof(NatOptions) || count == 0 ||
      count > kMaxNatRules || rule_bytes % sizeof(NatRule) != 0) {
    return Result(info, -EINVAL);
  }
  std::vector<NatRule> rules(count);
  NatOptions options{};
  memcpy(rules.data(), rule_data, rule_bytes);
  memcpy(&options, option_data, sizeof options);
  if (!RulesAreGood(rules) || !OptionsAreGood(options)) return Result(info, -EINVAL);
  Handle *const handle =
      new NatHandle(env.GetInstanceData<Environment>(), std::make_unique<Nat>(rules.data(), rules.size(), options));
  const Napi::Object object = Napi::Object::New(env);
  AddFunction(object, "translate", Call<Translate>, handle);
  AddFunction(object, "translatePcap", Call<TranslatePcap>, handle);
  AddFunction(object, "connections", Call<Connections>, handle);
  AddFunction(object, "close", Call<CloseHandle>, handle);
  return object;
}

}  // namespace xenctrl

// libFuzzer target for what the addon does with packets: any bytes as frames, any rules.

#include <fuzzer/FuzzedDataProvider.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include "../../native/checksum.h"
#include "../../native/nat.h"

namespace {

using xenctrl::ChecksumState;
using xenctrl::ClassifyPackets;
using xenctrl::kStateUnknown;
using xenctrl::Nat;
using xenctrl::NatCounters;
using xenctrl::NatOptions;
using xenctrl::NatOutcome;
using xenctrl::NatRule;
using xenctrl::PacketPlace;
using xenctrl::PcapRecords;
using xenctrl::Verdict;

constexpr uint32_t kLinkTypes[] = {1, 101, 113, 228, 229, 276, 7};

void Require(bool condition) {
  if (!condition) abort();
}

NatRule Rule(FuzzedDataProvider &data) {
  NatRule rule{};
  rule.kind = data.ConsumeBool() ? xenctrl::kSourceNat : xenctrl::kDestinationNat;
  rule.version = data.ConsumeBool() ? 4 : 6;
  const uint8_t bits = rule.version == 4 ? 32 : 128;
  rule.source_bits = data.ConsumeIntegralInRange<uint8_t>(0, bits);
  rule.destination_bits = data.ConsumeIntegralInRange<uint8_t>(0, bits);
  const auto min = data.ConsumeIntegral<uint16_t>();
  xenctrl::Write16(rule.to_min, min);
  xenctrl::Write16(rule.to_max, data.ConsumeIntegralInRange<uint16_t>(min, UINT16_MAX));
  data.ConsumeData(rule.to, sizeof rule.to);
  return rule;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  FuzzedDataProvider data(input, size);
  const NatRule rules[2] = {Rule(data), Rule(data)};
  NatOptions options{};
  options.seed = data.ConsumeIntegral<uint8_t>();
  options.max_connections = data.ConsumeIntegralInRange<int>(1, 20);
  options.old_ports = data.ConsumeBool();
  options.historic = data.ConsumeBool();
  options.finish = data.ConsumeBool();
  for (double &timeout : options.timeouts) timeout = data.ConsumeIntegralInRange<int>(0, 60);
  Nat nat(rules, 2, options);

  while (data.remaining_bytes() > 0) {
    const uint32_t link_type = data.PickValueInArray(kLinkTypes);
    const double now = data.ConsumeIntegral<uint8_t>();
    // a buffer of its own: a byte before or after it is a finding
    std::vector<uint8_t> frame = data.ConsumeBytes<uint8_t>(data.ConsumeIntegralInRange<size_t>(0, 200));
    const PacketPlace place{0, static_cast<uint32_t>(frame.size()), link_type};
    uint32_t verdicts[static_cast<size_t>(Verdict::kCount)] = {};
    NatCounters counters{};
    uint8_t state = kStateUnknown;
    uint8_t outcome = UINT8_MAX;
    std::vector<uint8_t> copy = frame;
    Require(ClassifyPackets(copy.data(), copy.size(), &place, 1, true, &state, verdicts) == 0);
    Require(state < static_cast<uint8_t>(ChecksumState::kCount));
    if (state == static_cast<uint8_t>(ChecksumState::kPartial)) {
      // what was completed is good
      Require(ClassifyPackets(copy.data(), copy.size(), &place, 1, false, &state, verdicts) == 0);
      Require(state == static_cast<uint8_t>(ChecksumState::kGood));
    } else {
      Require(copy == frame);
    }
    state = data.ConsumeBool() ? kStateUnknown : data.ConsumeIntegralInRange<uint8_t>(0, 4);
    const std::vector<uint8_t> before = frame;
    Require(nat.Translate(frame.data(), frame.size(), &place, &now, 1, &state, &outcome, &counters) == 0);
    Require(outcome < static_cast<uint8_t>(NatOutcome::kCount));
    const bool blank = state == static_cast<uint8_t>(ChecksumState::kPartial);
    if (outcome != static_cast<uint8_t>(NatOutcome::kTranslated) && !blank) Require(frame == before);
    Require(nat.connections() <= options.max_connections);
    for (size_t offset = 0; offset < frame.size(); offset += 1 + offset) {
      const size_t length = frame.size() - offset;
      const uint32_t plain = xenctrl::SumWordsPlain(frame.data() + offset, length);
      Require(xenctrl::SumWords(frame.data() + offset, length) == plain);
    }
    // the same bytes as records, in which lengths are anything
    constexpr size_t kCapacity = 3;
    PcapRecords records{data.ConsumeIntegralInRange<size_t>(0, 2), link_type, data.ConsumeBool(), 1};
    PacketPlace places[kCapacity];
    double seconds[kCapacity];
    uint32_t nanoseconds[kCapacity];
    uint8_t states[kCapacity];
    uint8_t outcomes[kCapacity];
    std::vector<uint8_t> file = data.ConsumeBytes<uint8_t>(data.ConsumeIntegralInRange<size_t>(0, 300));
    const size_t count = nat.TranslatePcap(file.data(), file.size(), &records, kCapacity, places, seconds, nanoseconds,
                                           states, outcomes, &counters);
    Require(count <= kCapacity);
    Require(count == 0 || records.at == places[count - 1].offset + places[count - 1].length);
  }
  return 0;
}

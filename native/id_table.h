// A table of things that the outside names by number. A number names one thing only, for ever: once that is gone, the
// number is refused, whatever lives in its place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace xenctrl {

template <typename T>
class IdTable {
 public:
  /// A power of two, so that an id is generation and place side by side: 32 + 14 bits, exact in a JavaScript number.
  static constexpr size_t kCapacity = size_t{1} << 14;

  size_t size() const { return places_.size() - free_.size(); }
  bool full() const { return size() == kCapacity; }

  /// The caller has looked at full().
  uint64_t Insert(T value) {
    if (free_.empty()) {
      free_.push_back(static_cast<uint32_t>(places_.size()));
      places_.emplace_back();
    }
    const uint32_t place = free_.back();
    free_.pop_back();
    places_[place].live = true;
    places_[place].value = std::move(value);
    return uint64_t{places_[place].generation} * kCapacity + place;
  }

  /// Takes the thing out; false when the id names none.
  bool Take(uint64_t id, T *value) {
    const uint64_t place = id % kCapacity;
    if (place >= places_.size()) return false;
    Place &found = places_[place];
    if (!found.live || found.generation != id / kCapacity) return false;
    *value = std::move(found.value);
    found.value = T();
    found.live = false;
    // a place whose generations are used up is not used again
    if (++found.generation != 0) free_.push_back(static_cast<uint32_t>(place));
    return true;
  }

  /// Takes everything out.
  template <typename Visit>
  void TakeAll(Visit visit) {
    for (size_t place = 0; place < places_.size(); place++) {
      T value;
      if (Take(uint64_t{places_[place].generation} * kCapacity + place, &value)) visit(std::move(value));
    }
  }

 private:
  struct Place {
    uint32_t generation = 0;
    bool live = false;
    T value{};
  };
  std::vector<Place> places_;
  std::vector<uint32_t> free_;
};

}  // namespace xenctrl

// Every prefix that has ever been in the beam, as a node: its parent, its label, its worth.
//
// Nodes are made for survivors only, so memory grows with them and not with what was looked at.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "context.hpp"

namespace ctcasr {

constexpr int32_t kRootNode = 0;

class PrefixTree {
 public:
  explicit PrefixTree(const Context* context) : context_(context), table_(256, kFree) {
    nodes_.push_back({-1, -1, -1});
    if (context_) {
      factors_.push_back(1.0);
      worths_.push_back(0.0);
      add_state(context_->start());
    }
  }

  int32_t size() const { return static_cast<int32_t>(nodes_.size()); }
  int32_t parent(int32_t node) const { return nodes_[node].parent; }
  int32_t label(int32_t node) const { return nodes_[node].label; }

  // The place of a prefix in the beam, or -1.
  int32_t slot(int32_t node) const { return nodes_[node].slot; }
  void set_slot(int32_t node, int32_t slot) { nodes_[node].slot = slot; }

  // exp of what a prefix is worth beyond its parent.
  double factor(int32_t node) const { return context_ ? factors_[node] : 1.0; }

  // What a prefix is worth, in nats.
  double worth(int32_t node) const { return context_ ? worths_[node] : 0.0; }

  // exp of the most that one more label can be worth.
  Gains gains(int32_t node) const {
    return context_ ? context_->gains(states_[node]) : Gains{1.0, 1.0, 1.0};
  }

  // The bits of the labels with which its word goes on in the lexicon.
  uint64_t labels_inside(int32_t node) const {
    return context_ ? context_->labels_inside(states_[node]) : ~uint64_t{0};
  }

  // exp of what one more label is worth.
  double factor_to(int32_t node, int32_t label) {
    if (!context_) return 1.0;
    if (context_->spells_alone()) {
      if (context_->goes_on(label)) return context_->lexicon.factor(states_[node].spelt, label);
      if (context_->kind(label) == LabelKind::kSpace) return completion(node).factor;
    }
    const int32_t child = find(node, label);
    return child >= 0 ? factors_[child] : std::exp(extend(node, label).worth);
  }

  // What the end of the text is worth after a prefix.
  double finish(int32_t node) const { return context_ ? context_->finish(states_[node]) : 0.0; }

  // The node one label further, or -1 if there is none yet.
  int32_t find(int32_t node, int32_t label) const { return table_[place(node, label)]; }

  // Returns the node one label further, made when first asked for.
  int32_t grow(int32_t node, int32_t label) {
    int32_t& entry = table_[place(node, label)];
    if (entry != kFree) return entry;
    const int32_t child = entry = size();
    nodes_.push_back({node, label, -1});
    if (context_) {
      const Context::Extension extension = extend(node, label);
      factors_.push_back(std::exp(extension.worth));
      worths_.push_back(worths_[node] + extension.worth);
      add_state(extension.state);
    }
    if (nodes_.size() * 2 > table_.size()) {
      table_.assign(table_.size() * 4, kFree);
      for (int32_t other = 1; other <= child; ++other)
        table_[place(parent(other), this->label(other))] = other;
    }
    return child;
  }

  // The labels from the root to a node.
  std::vector<int32_t> prefix(int32_t node) const {
    std::vector<int32_t> labels;
    for (; node != kRootNode; node = parent(node)) labels.push_back(label(node));
    std::reverse(labels.begin(), labels.end());
    return labels;
  }

  // The longest prefix of two nodes; a parent has a smaller number than its children.
  int32_t common_ancestor(int32_t a, int32_t b) const {
    while (a != b) (a > b ? a : b) = parent(std::max(a, b));
    return a;
  }

 private:
  static constexpr int32_t kFree = -1;

  void add_state(const Context::State& state) {
    states_.push_back(state);
    completions_.push_back({0, std::numeric_limits<double>::quiet_NaN(), 0.0});
  }

  // The end of the word that a prefix is writing; asked for frame after frame.
  const Context::Completion& completion(int32_t node) {
    auto& word = completions_[node];
    if (std::isnan(word.worth)) word = context_->complete(states_[node]);
    return word;
  }

  Context::Extension extend(int32_t node, int32_t label) {
    return context_->extend(states_[node], label,
                            [this, node]() -> const auto& { return completion(node); });
  }

  struct Node {
    int32_t parent, label, slot;
  };

  // Where the child of a node is in the table, or where it is to be put.
  size_t place(int32_t node, int32_t label) const {
    const uint64_t key = (static_cast<uint64_t>(node) << 32) | static_cast<uint32_t>(label);
    size_t at = ((key * 0x9E3779B97F4A7C15ull) >> 32) & (table_.size() - 1);
    for (int32_t child; (child = table_[at]) != kFree; at = (at + 1) & (table_.size() - 1))
      if (nodes_[child].parent == node && nodes_[child].label == label) break;
    return at;
  }

  const Context* context_;
  std::vector<Node> nodes_;
  std::vector<int32_t> table_;  // children: open addressing, a power of two in size
  std::vector<Context::State> states_;
  std::vector<double> factors_, worths_;
  std::vector<Context::Completion> completions_;
};

}  // namespace ctcasr

// A policy in C++ with libtorch, from the .pt2 that compile.py made: play policy.aoti.pt2 0.01 -0.02 0.03 0.04
// The numbers are one observation; the action is printed.
#include <ATen/ATen.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>

#include <cstdlib>
#include <iostream>
#include <vector>

int main(int count, char** words) try {
  if (count < 3) {
    std::cerr << "usage: play policy.aoti.pt2 NUMBER [NUMBER ...]\n";
    return 2;
  }
  std::vector<float> numbers;
  for (int i = 2; i < count; ++i) numbers.push_back(std::strtof(words[i], nullptr));
  c10::InferenceMode mode;
  torch::inductor::AOTIModelPackageLoader policy(words[1]);
  const at::Tensor obs = at::tensor(numbers).unsqueeze(0);  // a batch of one
  const at::Tensor action = policy.run({obs})[0].to(at::kDouble).flatten().contiguous();
  for (int64_t i = 0; i < action.numel(); ++i) std::cout << action.data_ptr<double>()[i] << "\n";
  return 0;
} catch (const c10::Error& error) {
  std::cerr << "error: " << error.what_without_backtrace() << "\n";
  return 1;
} catch (const std::exception& error) {
  std::cerr << "error: " << error.what() << "\n";
  return 1;
}

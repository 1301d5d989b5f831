// A policy in C++ with onnxruntime: play_onnx policy.onnx 0.01 -0.02 0.03 0.04
// The numbers are one observation; the action is printed. With memory, each further line of standard input is one more.
#include <onnxruntime_cxx_api.h>

#include <array>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

namespace {

template <typename T>
Ort::Value tensor(const Ort::MemoryInfo& where, std::vector<T>& values, const std::vector<int64_t>& shape) {
  return Ort::Value::CreateTensor<T>(where, values.data(), values.size(), shape.data(), shape.size());
}

void print(const Ort::Value& action) {
  const auto info = action.GetTensorTypeAndShapeInfo();
  for (size_t i = 0; i < info.GetElementCount(); ++i) {
    const bool whole = info.GetElementType() == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
    std::cout << (i ? " " : "") << (whole ? double(action.GetTensorData<int64_t>()[i]) : action.GetTensorData<float>()[i]);
  }
  std::cout << std::endl;
}

}  // namespace

int main(int count, char** words) try {
  if (count < 3) {
    std::cerr << "usage: play_onnx policy.onnx NUMBER [NUMBER ...]\n";
    return 2;
  }
  std::vector<float> obs;
  for (int i = 2; i < count; ++i) obs.push_back(std::strtof(words[i], nullptr));

  Ort::Env env(ORT_LOGGING_LEVEL_ERROR, "play");
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);
  Ort::Session session(env, words[1], options);
  const auto where = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);

  const bool remembers = session.GetInputCount() > 1;  // obs, memory, reset
  std::vector<float> memory;
  if (remembers) memory.resize(session.GetInputTypeInfo(1).GetTensorTypeAndShapeInfo().GetShape()[1]);
  std::array<bool, 1> reset{true};

  std::string line;
  do {
    if (!line.empty()) {
      obs.clear();
      std::istringstream numbers(line);
      for (float number; numbers >> number;) obs.push_back(number);
    }
    std::vector<const char*> inputs{"obs"}, outputs{"action"};
    std::vector<Ort::Value> given;
    given.push_back(tensor(where, obs, {1, int64_t(obs.size())}));
    const std::array<int64_t, 1> one{1};
    if (remembers) {
      inputs.insert(inputs.end(), {"memory", "reset"});
      outputs.push_back("next_memory");
      given.push_back(tensor(where, memory, {1, int64_t(memory.size())}));
      given.push_back(Ort::Value::CreateTensor<bool>(where, reset.data(), 1, one.data(), 1));
    }
    const auto found = session.Run(Ort::RunOptions{}, inputs.data(), given.data(), given.size(), outputs.data(), outputs.size());
    print(found[0]);
    if (remembers) {
      const float* next = found[1].GetTensorData<float>();
      memory.assign(next, next + memory.size());
      reset[0] = false;
    }
  } while (std::getline(std::cin, line) && !line.empty());
  return 0;
} catch (const std::exception& error) {
  std::cerr << "error: " << error.what() << "\n";
  return 1;
}

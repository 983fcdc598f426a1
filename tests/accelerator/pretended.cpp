// A device that torch takes for an accelerator and whose memory is the host's: "pretended:0".
//
// Every operation runs on the CPU, so results are the CPU's. What it adds are an accelerator's demands: tensors of the
// two places do not mix, values have to be fetched before NumPy sees them, gradients live where their tensors do.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

namespace {

using at::Tensor;
constexpr auto kType = c10::DeviceType::PrivateUse1;
const c10::Device kDevice(kType, 0);

struct Memory final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* start = bytes ? std::malloc(bytes) : nullptr;
    return {start, start, &std::free, kDevice};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &std::free; }
  void copy_data(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }
};
Memory memory;
REGISTER_ALLOCATOR(kType, &memory);

// One device with one stream, on which everything is over when the call returns.
struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::Stream stream() const { return c10::Stream(c10::Stream::DEFAULT, kDevice); }
  c10::DeviceType type() const override { return kType; }
  c10::Device exchangeDevice(c10::Device) const override { return kDevice; }
  c10::Device getDevice() const override { return kDevice; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device) const noexcept override { return stream(); }
  c10::Stream getNewStream(c10::Device, int) const override { return stream(); }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return stream(); }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  void record(void**, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, const c10::DeviceIndex) const noexcept override {}
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

struct Hooks final : at::PrivateUse1HooksInterface {
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  bool isBuilt() const { return true; }  // newer versions of torch ask these two
  bool isAvailable() const { return true; }
  at::Generator getNewGenerator(c10::DeviceIndex) const override { return at::detail::createCPUGenerator(); }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    return at::detail::getDefaultCPUGenerator();
  }
  c10::Device getDeviceFromPtr(void*) const override { return kDevice; }
};
Hooks hooks;
[[maybe_unused]] const int registered = (at::RegisterPrivateUse1HooksInterface(&hooks), 0);

// The same memory as the CPU sees it.
Tensor host(const Tensor& tensor) {
  if (tensor.device().is_cpu()) return tensor.detach();
  const auto& storage = tensor.storage();
  const int64_t numbers = storage.nbytes() / tensor.element_size();
  auto all = at::from_blob(storage.mutable_data(), {numbers}, tensor.options().device(at::kCPU));
  return all.as_strided(tensor.sizes(), tensor.strides(), tensor.storage_offset());
}
std::optional<Tensor> host(const std::optional<Tensor>& tensor) {
  return tensor.has_value() && tensor->defined() ? std::optional<Tensor>(host(*tensor)) : std::nullopt;
}
Tensor device(const Tensor& tensor) { return tensor.defined() ? tensor.to(kDevice) : tensor; }
std::tuple<Tensor, Tensor, Tensor> device(const std::tuple<Tensor, Tensor, Tensor>& of) {
  return {device(std::get<0>(of)), device(std::get<1>(of)), device(std::get<2>(of))};
}

at::ScalarType type_or_default(std::optional<at::ScalarType> type) {
  return type.value_or(c10::typeMetaToScalarType(at::get_default_dtype()));
}
Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> type, std::optional<at::Layout>,
             std::optional<c10::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  const auto keys = c10::DispatchKeySet(c10::DispatchKey::PrivateUse1);
  return at::detail::empty_generic(size, &memory, keys, type_or_default(type), format);
}
Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride, std::optional<at::ScalarType> type,
                     std::optional<at::Layout>, std::optional<c10::Device>, std::optional<bool>) {
  const auto keys = c10::DispatchKeySet(c10::DispatchKey::PrivateUse1);
  return at::detail::empty_strided_generic(size, stride, &memory, keys, type_or_default(type));
}
Tensor copy_from(const Tensor& from, const Tensor& to, bool) {
  at::NoGradGuard no_grad;
  if (to.numel()) host(to).copy_(host(from).expand(to.sizes()));
  return to;
}
const Tensor& resize_in_place(const Tensor& self, at::IntArrayRef size, std::optional<at::MemoryFormat> format) {
  at::native::resize_impl_cpu_(self.unsafeGetTensorImpl(), size, std::nullopt);
  if (format.has_value()) self.unsafeGetTensorImpl()->empty_tensor_restride(*format);
  return self;
}
Tensor copy_from_and_resize(const Tensor& from, const Tensor& to) {
  if (from.sizes() != to.sizes()) resize_in_place(to, from.sizes(), std::nullopt);
  return copy_from(from, to, false);
}
at::Scalar value(const Tensor& tensor) { return host(tensor).item(); }
Tensor& set_storage(Tensor& self, at::Storage source, int64_t offset, at::IntArrayRef size, at::IntArrayRef stride) {
  return at::native::set_storage_cpu_(self, std::move(source), offset, size, stride);
}
Tensor& set_whole_storage(Tensor& self, at::Storage source) {
  const int64_t numbers = source.nbytes() / self.element_size();
  return at::native::set_storage_cpu_(self, std::move(source), 0, {numbers}, {});
}

// Convolutions ask their backend by name, and batch normalisation writes to arguments that its schema calls constant:
// the general way below would neither find the one nor bring back what the other has written.
void check_together(const Tensor& a, const Tensor& b) {
  TORCH_CHECK(!a.device().is_cpu() && !b.device().is_cpu(), "tensors of two devices in a convolution");
}
Tensor convolution(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias,
                   at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed,
                   at::IntArrayRef output_padding, int64_t groups) {
  check_together(input, weight);
  return device(at::convolution(host(input), host(weight), host(bias), stride, padding, dilation, transposed,
                                output_padding, groups));
}
std::tuple<Tensor, Tensor, Tensor> convolution_backward(
    const Tensor& gradient, const Tensor& input, const Tensor& weight, at::IntArrayRef stride,
    at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed, at::IntArrayRef output_padding,
    int64_t groups, std::array<bool, 3> wanted) {
  check_together(input, weight);
  const std::vector<int64_t> bias = {transposed ? weight.size(1) * groups : weight.size(0)};
  return device(at::convolution_backward(host(gradient), host(input), host(weight), bias, stride, padding, dilation,
                                         transposed, output_padding, groups, wanted));
}
std::tuple<Tensor, Tensor, Tensor> batch_norm(
    const Tensor& input, const std::optional<Tensor>& weight, const std::optional<Tensor>& bias,
    const std::optional<Tensor>& mean, const std::optional<Tensor>& variance, bool training, double momentum,
    double eps) {
  return device(at::native_batch_norm(host(input), host(weight), host(bias), host(mean), host(variance), training,
                                      momentum, eps));
}

// Everything else: on the CPU, after a look at where the arguments are. Single numbers may be anywhere, and indices on
// the CPU, as on CUDA.
void anything_else(const c10::OperatorHandle& operation, torch::jit::Stack* stack) {
  bool here = false;
  std::string elsewhere;
  const auto look = [&](const Tensor& tensor) {
    if (!tensor.defined()) return;
    if (tensor.device().type() == kType) here = true;
    else if (tensor.dim() > 0) elsewhere += c10::str(" ", tensor.sizes());
  };
  for (size_t i = stack->size() - operation.schema().arguments().size(); i < stack->size(); ++i) {
    const auto& argument = (*stack)[i];
    if (argument.isTensor()) look(argument.toTensor());
    else if (argument.isList())
      for (const c10::IValue& element : argument.toListRef())
        if (element.isTensor()) look(element.toTensor());
  }
  const auto& name = operation.schema().name();
  const bool indexes = name.find("aten::index") == 0 || name.find("aten::_index_put") == 0;
  TORCH_CHECK(!here || elsewhere.empty() || indexes, "tensors of two devices in ", name, ": on the CPU", elsewhere);
  at::native::cpu_fallback(operation, stack);
}

}  // namespace

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&anything_else>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", &empty);
  library.impl("empty_strided", &empty_strided);
  library.impl("_copy_from", &copy_from);
  library.impl("_copy_from_and_resize", &copy_from_and_resize);
  library.impl("resize_", &resize_in_place);
  library.impl("_local_scalar_dense", &value);
  library.impl("as_strided", &at::native::as_strided_tensorimpl);
  library.impl("view", &at::native::view);
  library.impl("unfold", &at::native::unfold);
  library.impl("_reshape_alias", &at::native::_reshape_alias);
  library.impl("set_.source_Storage_storage_offset", &set_storage);
  library.impl("set_.source_Storage", &set_whole_storage);
  library.impl("convolution_overrideable", &convolution);
  library.impl("convolution_backward_overrideable", &convolution_backward);
  library.impl("native_batch_norm", &batch_norm);
}

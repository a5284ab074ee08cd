// All kernels in one module.
#include "chain.cu"
#include "memory.cu"
#include "product.cu"

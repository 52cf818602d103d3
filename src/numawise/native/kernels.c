#include <stddef.h>
int numawise_abi(void);
__attribute__((visibility("default"))) int numawise_abi(void) { return 1; }

#define configCPU_CLOCK_HZ 12500000
#define configTICK_RATE_HZ 1000
#define configTICK_TYPE_WIDTH_IN_BITS TICK_TYPE_WIDTH_32_BITS
#define configMAX_PRIORITIES 5
#define configMINIMAL_STACK_SIZE 128
#define configTOTAL_HEAP_SIZE (48 * 1024)
#define configUSE_PREEMPTION 1
#define configUSE_TIME_SLICING 1
#define configUSE_IDLE_HOOK 0
#define configUSE_TICK_HOOK 0
#define configCHECK_FOR_STACK_OVERFLOW 0
/* The one pointer per task that os-thread-local needs. */
#define configNUM_THREAD_LOCAL_STORAGE_POINTERS 1
#define INCLUDE_vTaskDelay 1
#define INCLUDE_vTaskDelete 1
#define INCLUDE_xTaskGetSchedulerState 1
/* Of eight priorities, in the upper three bits. */
#define configKERNEL_INTERRUPT_PRIORITY 0xe0
#define configMAX_SYSCALL_INTERRUPT_PRIORITY 0xa0
/* As cortex-m-rt calls the handlers. */
#define configCHECK_HANDLER_INSTALLATION 0
#define vPortSVCHandler SVCall
#define xPortPendSVHandler PendSV
#define xPortSysTickHandler SysTick
void assertion_failed(const char *file, int line);
#define configASSERT(condition) do { if (!(condition)) assertion_failed(__FILE__, __LINE__); } while (0)

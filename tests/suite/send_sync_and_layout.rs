//! Which types are `Send` and `Sync`; sizes and alignments, of objects and of values.

#![cfg(feature = "alloc")]

use std::cell::{Cell, RefCell};
use std::mem::{align_of, size_of};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;
use std::sync::{Arc, MutexGuard};
use std::thread;

use crate::common::{Census, Log};
use os_thread_local::ThreadLocal;

fn send_sync<T: Send + Sync>(_: &T) {}

#[test]
fn send_and_sync_for_any_value() {
    fn check<T: 'static>() {
        fn is<T: Send + Sync>() {}
        is::<ThreadLocal<T>>();
        is::<ThreadLocal<T, Box<dyn Fn() -> T + Send + Sync>>>();
    }
    check::<u32>();
    check::<Cell<u32>>();
    check::<Rc<u32>>();
    check::<*mut u32>();
    check::<MutexGuard<'static, u32>>();
    check::<Box<dyn Fn()>>();

    let shared = Arc::new(1u32);
    send_sync(&ThreadLocal::from_fn(move || Rc::new(*shared)));
    // A closure that is Send but not Sync makes an object that can be sent. (The rest: compile_fail.)
    let cell = Cell::new(1);
    let object = ThreadLocal::from_fn(move || cell.replace(2));
    let object = thread::spawn(move || {
        assert_eq!(object.with(|v| *v), 1);
        object
    })
    .join()
    .unwrap();
    assert_eq!(object.with(|v| *v), 2);
}

/// As in 0.1.3, whose object was a number and a function.
#[test]
fn the_other_auto_traits() {
    fn is<T: Unpin + UnwindSafe + RefUnwindSafe>() {}
    is::<ThreadLocal<u32>>();
    is::<ThreadLocal<RefCell<u32>>>();
    is::<ThreadLocal<Rc<Cell<u32>>>>();
    is::<ThreadLocal<*mut u32>>();
}

#[test]
fn an_object_is_two_words() {
    assert_eq!(size_of::<ThreadLocal<u64>>(), 2 * size_of::<usize>());
    assert_eq!(align_of::<ThreadLocal<u64>>(), align_of::<usize>());
    assert_eq!(size_of::<ThreadLocal<()>>(), 2 * size_of::<usize>());
    assert_eq!(size_of::<ThreadLocal<[u8; 1 << 20]>>(), 2 * size_of::<usize>());
    #[cfg(target_pointer_width = "64")]
    assert_eq!(size_of::<ThreadLocal<u64>>(), 16);

    // An initializer without a size takes none.
    fn size_of_val<T: 'static, F: Fn() -> T>(_: &ThreadLocal<T, F>) -> usize {
        size_of::<ThreadLocal<T, F>>()
    }
    assert_eq!(size_of_val(&ThreadLocal::from_fn(|| 1u64)), size_of::<usize>());
}

#[test]
fn values_without_a_size() {
    let unit = ThreadLocal::new(|| ());
    assert_eq!(unit.with_existing(|_| ()), None);
    unit.with(|_| ());
    assert_eq!(unit.with_existing(|_| ()), Some(()));

    // With a destructor, they are still made and destroyed once in each thread.
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    static BUILT: AtomicUsize = AtomicUsize::new(0);
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Empty;
    impl Drop for Empty {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, SeqCst);
        }
    }
    #[repr(align(64))]
    struct EmptyAligned;
    let empty = ThreadLocal::new(|| {
        BUILT.fetch_add(1, SeqCst);
        Empty
    });
    thread::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| {
                empty.with(|_| ());
                empty.with(|_| ());
            })
            .join()
            .unwrap();
        }
    });
    assert_eq!((BUILT.load(SeqCst), DROPPED.load(SeqCst)), (3, 3));
    empty.with(|_| ());
    drop(empty);
    assert_eq!((BUILT.load(SeqCst), DROPPED.load(SeqCst)), (4, 4));

    let aligned = ThreadLocal::new(|| EmptyAligned);
    aligned.with(|v| assert_eq!(v as *const _ as usize % 64, 0));
}

#[test]
fn values_with_an_alignment() {
    macro_rules! check {
        ($($align:literal)*) => {$({
            #[repr(align($align))]
            struct Aligned(u8, #[allow(dead_code)] Option<crate::common::Entry>); // the entry is there to be dropped

            let log = Log::new();
            let l = log.clone();
            let object = ThreadLocal::from_fn(move || Aligned(7, Some(l.entry($align))));
            let check = || {
                object.with(|v| {
                    assert_eq!(v as *const Aligned as usize % $align, 0);
                    assert_eq!(v.0, 7);
                })
            };
            check();
            thread::scope(|s| {
                for _ in 0..3 {
                    s.spawn(check).join().unwrap();
                }
            });
            drop(object);
            assert_eq!(log.take(), [$align; 4]);
        })*};
    }
    check!(2 4 8 16 32 64 128 256 512 1024 2048 4096 16384);
}

#[test]
fn large_values() {
    const SIZE: usize = 1 << 20;
    // An unoptimized initializer puts several copies on the stack.
    fn with_a_large_stack(f: impl FnOnce() + Send + 'static) {
        thread::Builder::new().stack_size(16 * SIZE).spawn(f).unwrap().join().unwrap();
    }
    static LARGE: ThreadLocal<RefCell<[u8; SIZE]>> = ThreadLocal::new(|| RefCell::new([1; SIZE]));
    for last in 2..4 {
        with_a_large_stack(move || {
            LARGE.with_borrow_mut(|v| {
                assert!(v.iter().all(|b| *b == 1));
                v[SIZE - 1] = last;
            });
            LARGE.with_borrow(|v| assert_eq!((v[0], v[SIZE - 1]), (1, last)));
        });
    }
    let census = Census::new();
    let c = census.clone();
    with_a_large_stack(move || {
        let object = ThreadLocal::from_fn(move || (c.count(), [0u8; SIZE]));
        object.with(|v| assert_eq!(v.1[SIZE - 1], 0));
    });
    assert_eq!((census.built(), census.dropped()), (1, 1));
}

mod clock;
mod fork;
mod pool;
mod watcher;

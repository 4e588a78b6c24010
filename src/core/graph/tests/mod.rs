mod building;
mod cycles;
mod levels;
mod order;
mod paths;
mod random;
mod schedules;
mod size;

// CartPole-v1 of Gymnasium (Barto, Sutton and Anderson 1983), one step of Euler's method each 20 ms.
const GRAVITY = 9.8, CART = 1.0, POLE = 0.1, HALF_LENGTH = 0.5, FORCE = 10.0, TAU = 0.02;
const TOTAL = CART + POLE, MOMENT = POLE * HALF_LENGTH, LIMIT = 500;
export const WIDE = 2.4, LEANING = 12 * 2 * Math.PI / 360;

export class CartPole {
  // start: position, velocity, angle, angular velocity
  constructor(start = Array.from({ length: 4 }, () => Math.random() * 0.1 - 0.05)) {
    this.state = [...start];
    this.steps = 0;
    this.over = false;
  }

  // action 0 pushes to the left, 1 to the right; gives whether the episode is over
  step(action) {
    let [x, velocity, angle, spin] = this.state;
    const sin = Math.sin(angle), cos = Math.cos(angle);
    const push = ((action === 1 ? FORCE : -FORCE) + MOMENT * spin * spin * sin) / TOTAL;
    const turn = (GRAVITY * sin - cos * push) / (HALF_LENGTH * (4 / 3 - POLE * cos * cos / TOTAL));
    const drive = push - MOMENT * turn * cos / TOTAL;
    this.state = [x + TAU * velocity, velocity + TAU * drive, angle + TAU * spin, spin + TAU * turn];
    this.steps += 1;
    [x, , angle] = this.state;
    this.over = Math.abs(x) > WIDE || Math.abs(angle) > LEANING || this.steps >= LIMIT;
    return this.over;
  }
}

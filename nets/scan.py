"""LSTM, GRU and tanh RNN over a whole sequence [T, B, ...] with resets inside it, forward and backward.

Weights, gate order and equations are those of torch.nn.LSTM, GRU and RNN. Each is one autograd node: a matrix
product for all inputs, a short loop over time, and one matrix product for each weight's gradient. `keep` is
[T, B, 1], 0 where the state is zeroed before the step. Not twice differentiable.
"""

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def _rows(keep: Tensor) -> list[Tensor | None]:
    """keep [B, 1] for each step, None where nothing is reset (known for free on CPU, never asked of a GPU)."""
    rows = keep.unbind(0)
    if keep.is_cuda:
        return list(rows)
    untouched = keep.amin((1, 2)).tolist()
    return [None if kept else row for kept, row in zip(untouched, rows)]


def _project(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x W^T + b for all steps in one matrix product: [T, B, in] -> [T, B, out]."""
    return torch.addmm(bias, x.flatten(0, 1), weight.t()).view(*x.shape[:2], -1)


def _input_grads(ctx, d_in: Tensor, x: Tensor, w_ih: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
    """Gradients of x, w_ih and b_ih from those of the projected inputs [T, B, out]."""
    flat = d_in.flatten(0, 1)
    d_x = (flat @ w_ih).view_as(x) if ctx.needs_input_grad[0] else None
    return d_x, flat.t() @ x.flatten(0, 1), flat.sum(0)


class LSTMScan(Function):
    """(x [T, B, I], h [B, H], c [B, H], keep, w_ih, w_hh, b_ih, b_hh) -> (h of every step [T, B, H], last c)."""

    @staticmethod
    def forward(ctx, x, h, c, keep, w_ih, w_hh, b_ih, b_hh):
        steps, batch = x.shape[:2]
        size = h.shape[-1]
        rows = _rows(keep)
        gates = _project(x, w_ih, b_ih + b_hh)
        hidden, cells = x.new_empty(2, steps + 1, batch, size).unbind(0)
        tanh_cells = x.new_empty(steps, batch, size)
        hidden[0], cells[0] = h, c
        w_hh_t = w_hh.t()
        i, f, g, o = (part.unbind(0) for part in gates.chunk(4, dim=-1))
        i_and_f = gates[..., : 2 * size].unbind(0)
        hs, cs = hidden.unbind(0), cells.unbind(0)
        for t, (gate, row, tanh_c) in enumerate(zip(gates.unbind(0), rows, tanh_cells.unbind(0))):
            h, c = hs[t], cs[t]
            if row is not None:
                h, c = h * row, c * row
            gate.addmm_(h, w_hh_t)
            i_and_f[t].sigmoid_()
            g[t].tanh_()
            o[t].sigmoid_()
            torch.mul(f[t], c, out=cs[t + 1]).addcmul_(i[t], g[t])
            torch.tanh(cs[t + 1], out=tanh_c)
            torch.mul(o[t], tanh_c, out=hs[t + 1])
        ctx.rows = rows
        ctx.save_for_backward(x, keep, w_ih, w_hh, gates, hidden, cells, tanh_cells)
        return hidden[1:], cells[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, d_out, d_c):
        x, keep, w_ih, w_hh, gates, hidden, cells, tanh_cells = ctx.saved_tensors
        steps, batch, size = tanh_cells.shape
        h_prev, c_prev = hidden[:-1], cells[:-1]
        if any(row is not None for row in ctx.rows):
            h_prev, c_prev = h_prev * keep, c_prev * keep
        i, f, g, o = gates.chunk(4, dim=-1)
        # What multiplies dL/dc for the gates i, f, g, and dL/dh for o and for c.
        of_c = gates.new_empty(steps, batch, 3, size)
        torch.mul(g, torch.addcmul(i, i, i, value=-1.0), out=of_c[:, :, 0])
        torch.mul(c_prev, torch.addcmul(f, f, f, value=-1.0), out=of_c[:, :, 1])
        torch.addcmul(i, i, g * g, value=-1.0, out=of_c[:, :, 2])
        h_to_o = tanh_cells * torch.addcmul(o, o, o, value=-1.0)
        h_to_c = torch.addcmul(o, o, tanh_cells * tanh_cells, value=-1.0)

        d_gates = torch.empty_like(gates)
        d_gate = d_gates.unbind(0)
        d_ifg = d_gates.view(steps, batch, 4, size)[:, :, :3].unbind(0)
        d_o = d_gates[..., 3 * size :].unbind(0)
        d_c = d_c.clone()
        d_c_wide = d_c.unsqueeze(1)
        d_outs, of_c, h_to_o, h_to_c, f = (part.unbind(0) for part in (d_out, of_c, h_to_o, h_to_c, f))
        d_h = d_outs[-1]
        for t in reversed(range(steps)):
            torch.mul(d_h, h_to_o[t], out=d_o[t])
            d_c.addcmul_(d_h, h_to_c[t])
            torch.mul(d_c_wide, of_c[t], out=d_ifg[t])
            d_c.mul_(f[t])
            row = ctx.rows[t]
            if row is not None:
                d_c.mul_(row)
                d_h = torch.mm(d_gate[t], w_hh).mul_(row)
                if t > 0:
                    d_h += d_outs[t - 1]
            elif t > 0:
                d_h = torch.addmm(d_outs[t - 1], d_gate[t], w_hh)
            else:
                d_h = torch.mm(d_gate[t], w_hh)
        d_x, d_w_ih, d_b = _input_grads(ctx, d_gates, x, w_ih)
        d_w_hh = d_gates.flatten(0, 1).t() @ h_prev.flatten(0, 1)
        return d_x, d_h, d_c, None, d_w_ih, d_w_hh, d_b, d_b.clone()

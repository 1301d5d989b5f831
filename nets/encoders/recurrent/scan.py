"""GRU and tanh RNN over a whole sequence [T, B, ...] with resets inside it, forward and backward.

Weights, gate order and equations are those of torch.nn.GRU and torch.nn.RNN. Each is one autograd node: a matrix
product for all inputs, a short loop over time, and one matrix product for each weight's gradient. The LSTM is in
lstm.py: unlike GRU, it has a fused kernel on CPU. Not twice differentiable.

Both take (x [T, B, I], h [B, H], keep [T, B, 1] (0 where h is zeroed before the step), w_ih, w_hh, b_ih, b_hh)
and return h after every step, [T, B, H].
"""

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def _rows(keep: Tensor) -> list[Tensor | None]:
    """keep [B, 1] of each step, None where nothing is reset (cheap to know on CPU, never asked of a GPU)."""
    rows = keep.unbind(0)
    if keep.is_cuda:
        return list(rows)
    return [None if kept else row for kept, row in zip(keep.amin((1, 2)).tolist(), rows, strict=True)]


def _project(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x W^T + b for all steps in one matrix product: [T, B, in] -> [T, B, out]."""
    return torch.addmm(bias, x.flatten(0, 1), weight.t()).view(*x.shape[:2], -1)


def _previous(ctx, hidden: Tensor, keep: Tensor) -> Tensor:
    """h before every step, [T, B, H], from hidden [T + 1, B, H]."""
    return hidden[:-1] if all(row is None for row in ctx.rows) else hidden[:-1] * keep


def _linear_grads(d_y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of W and b of y = x W^T + b, all steps at once."""
    d_y = d_y.flatten(0, 1)
    return d_y.t() @ x.flatten(0, 1), d_y.sum(0)


class GRUScan(Function):
    """r, z = sigmoid(.), n = tanh(W_in x + b_in + r (W_hn h + b_hn)), h' = (1 - z) n + z h."""

    @staticmethod
    def forward(ctx, x, h, keep, w_ih, w_hh, b_ih, b_hh):
        steps, batch = x.shape[:2]
        size = h.shape[-1]
        rows = _rows(keep)
        gates = _project(x, w_ih, b_ih)  # becomes r, z, n
        recurrent = torch.empty_like(gates)  # W_hh h + b_hh
        hidden = x.new_empty(steps + 1, batch, size)
        hidden[0] = h
        w_hh_t = w_hh.t().contiguous()
        hs, inners = hidden.unbind(0), recurrent.unbind(0)
        inner_rz, inner_n = recurrent[..., : 2 * size].unbind(0), recurrent[..., 2 * size :].unbind(0)
        gate_rz = gates[..., : 2 * size].unbind(0)
        r, z, n = (gate.unbind(0) for gate in gates.chunk(3, dim=-1))
        for t, row in enumerate(rows):
            h = hs[t] if row is None else hs[t] * row
            torch.addmm(b_hh, h, w_hh_t, out=inners[t])
            gate_rz[t].add_(inner_rz[t]).sigmoid_()
            n[t].addcmul_(r[t], inner_n[t]).tanh_()
            torch.lerp(n[t], h, z[t], out=hs[t + 1])
        ctx.rows = rows
        ctx.save_for_backward(x, keep, w_ih, w_hh, gates, recurrent, hidden)
        return hidden[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx, d_out):
        x, keep, w_ih, w_hh, gates, recurrent, hidden = ctx.saved_tensors
        steps, batch, size = d_out.shape
        h_prev = _previous(ctx, hidden, keep)
        r, z, n = gates.chunk(3, dim=-1)
        # What dL/dh is multiplied by, for n (as seen by x) and for r, z, n as seen by h.
        to_n = (1.0 - z) * torch.addcmul(torch.ones((), device=n.device, dtype=n.dtype), n, n, value=-1.0)
        to_gates = gates.new_empty(steps, batch, 3, size)
        torch.mul(to_n, r, out=to_gates[:, :, 2])
        torch.mul(to_gates[:, :, 2], recurrent[..., 2 * size :], out=to_gates[:, :, 0]).mul_(1.0 - r)
        torch.mul((h_prev - n).mul_(z), 1.0 - z, out=to_gates[:, :, 1])

        d_recurrent = torch.empty_like(to_gates)
        d_hidden = torch.empty_like(d_out, memory_format=torch.contiguous_format)  # dL/dh after step t
        d_inner = d_recurrent.flatten(2).unbind(0)
        d_outs, d_hs, z = d_out.unbind(0), d_hidden.unbind(0), z.unbind(0)
        d_recurrents, to_gate = d_recurrent.unbind(0), to_gates.unbind(0)
        d_first = torch.empty_like(d_hs[0])
        d_hs[-1].copy_(d_outs[-1])
        for t in range(steps - 1, -1, -1):
            d_h, row = d_hs[t], ctx.rows[t]
            torch.mul(d_h.unsqueeze(1), to_gate[t], out=d_recurrents[t])
            d_prev = d_hs[t - 1] if t > 0 else d_first
            if row is None and t > 0:
                torch.addcmul(d_outs[t - 1], d_h, z[t], out=d_prev).addmm_(d_inner[t], w_hh)
                continue
            torch.mul(d_h, z[t], out=d_prev).addmm_(d_inner[t], w_hh)
            if row is not None:
                d_prev.mul_(row)
            if t > 0:
                d_prev.add_(d_outs[t - 1])
        d_inner = d_recurrent.flatten(2)
        d_w_hh, d_b_hh = _linear_grads(d_inner, h_prev)
        d_gates = torch.cat((d_inner[..., : 2 * size], d_hidden * to_n), dim=-1)
        d_w_ih, d_b_ih = _linear_grads(d_gates, x)
        d_x = d_gates @ w_ih if ctx.needs_input_grad[0] else None
        return d_x, d_first, None, d_w_ih, d_w_hh, d_b_ih, d_b_hh


class RNNScan(Function):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh)."""

    @staticmethod
    def forward(ctx, x, h, keep, w_ih, w_hh, b_ih, b_hh):
        rows = _rows(keep)
        out = _project(x, w_ih, b_ih + b_hh)
        w_hh_t = w_hh.t().contiguous()
        previous = h
        for step, row in zip(out.unbind(0), rows, strict=True):
            step.addmm_(previous if row is None else previous * row, w_hh_t).tanh_()
            previous = step
        ctx.rows = rows
        ctx.save_for_backward(x, h, keep, w_ih, w_hh, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, d_out):
        x, h, keep, w_ih, w_hh, out = ctx.saved_tensors
        h_prev = _previous(ctx, torch.cat((h.unsqueeze(0), out)), keep)
        to_pre = torch.addcmul(torch.ones((), device=out.device, dtype=out.dtype), out, out, value=-1.0)
        d_pre = torch.empty_like(out)
        d_outs, d_pres, to_pre = d_out.unbind(0), d_pre.unbind(0), to_pre.unbind(0)
        d_h = d_outs[-1]
        for t in range(len(out) - 1, -1, -1):
            torch.mul(d_h, to_pre[t], out=d_pres[t])
            row = ctx.rows[t]
            if row is None and t > 0:
                d_h = torch.addmm(d_outs[t - 1], d_pres[t], w_hh)
                continue
            d_h = d_pres[t] @ w_hh
            if row is not None:
                d_h.mul_(row)
            if t > 0:
                d_h.add_(d_outs[t - 1])
        d_w_hh, d_b = _linear_grads(d_pre, h_prev)
        d_w_ih = d_pre.flatten(0, 1).t() @ x.flatten(0, 1)
        d_x = d_pre @ w_ih if ctx.needs_input_grad[0] else None
        return d_x, d_h, None, d_w_ih, d_w_hh, d_b, d_b.clone()
